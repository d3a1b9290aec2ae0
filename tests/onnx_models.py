"""Small ONNX models, written node by node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OnnxNode = tuple[Any, ...]
OnnxModel = Callable[..., onnx.ModelProto]


def make_model(
    *nodes: OnnxNode,
    inputs: Mapping[str, Sequence[Any]],
    outputs: str,
    opset: int = 18,
    **constants: np.ndarray,
) -> onnx.ModelProto:
    """A model with the shape of every value.

    Args:
        nodes: operator, names of the inputs (``.`` for an absent one), names of the outputs, and optionally attributes.
        inputs: their shapes by name, optionally after a dtype.
        outputs: their names.
        opset: version of the operators.
        constants: the initialisers.
    """
    protos = []
    for index, (operator, taken, made, *attributes) in enumerate(nodes):
        names = ["" if name == "." else name for name in taken.split()]
        results = ["" if name == "." else name for name in made.split()]
        protos.append(helper.make_node(operator, names, results, f"{operator}{index}", **(attributes or [{}])[0]))
    values = []
    for name, (*shape,) in inputs.items():
        dtype = shape.pop(0) if shape and isinstance(shape[0], str) else "float32"
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        values.append(helper.make_tensor_value_info(name, kind, shape))
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    results = [helper.make_empty_tensor_value_info(name) for name in outputs.split()]
    graph = helper.make_graph(protos, "model", values, results, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
