"""Shapes and dtypes of all values of an ONNX model, as far as they are known without running it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import onnx

from tvmopt.pipeline.inspection.costs.types import elements
from tvmopt.pipeline.types import TensorSpec

_LARGE = 1024
"""A constant with more elements is not a shape: its elements cannot affect the shapes of other values."""


SCALED = ("QuantizeLinear", "DequantizeLinear")
"""Operators whose scales and zero points are no parameters of the layers that use what they make."""


def value_specs(model: onnx.ModelProto, simplified: onnx.ModelProto | None) -> dict[str, TensorSpec]:
    """Every value of `model` whose shape is static and known, constants included.

    Args:
        model: with static inputs.
        simplified: the same model with shape arithmetic folded; shapes that it states are taken as true.
    """
    skeleton = _without_weights(model)
    if simplified is not None:
        made = {name for node in model.graph.node for name in node.output}
        stated = {value.name for value in skeleton.graph.output}
        skeleton.graph.value_info.extend(
            value for value in simplified.graph.value_info if value.name in made and value.name not in stated
        )
    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError):
        inferred = skeleton  # shapes that depend on an inconsistent layer stay unknown
    return graph_specs(inferred.graph)


def graph_specs(graph: onnx.GraphProto) -> dict[str, TensorSpec]:
    """What `graph` states of its values: those with static shapes."""
    specs: dict[str, TensorSpec] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        dims = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
        dtype = _dtype(tensor.elem_type)
        if tensor.HasField("shape") and min(dims, default=0) >= 0 and dtype:
            specs[value.name] = TensorSpec(value.name, tuple(dims), dtype)
    for constant in graph.initializer:
        dtype = _dtype(constant.data_type)
        if dtype:
            specs[constant.name] = TensorSpec(constant.name, tuple(constant.dims), dtype)
    return specs


def nbytes(spec: TensorSpec) -> int:
    """Bytes of a tensor; elements of less than a byte are packed."""
    bits = re.search(r"\d+", spec.dtype)
    return -(-elements(spec) * (int(bits[0]) if bits else 8) // 8)


def constant_sources(model: onnx.ModelProto) -> Mapping[str, frozenset[str]]:
    """The initialisers and constants that make up each value that does not depend on the model's inputs.

    The shape of a value counts as constant: all shapes are static.
    """
    sources = {tensor.name: frozenset((tensor.name,)) for tensor in model.graph.initializer}
    for node in model.graph.node:
        taken = [name for name in node.input if name]
        own = taken[:1] if node.op_type in SCALED else taken
        if node.op_type == "Constant":
            made = frozenset(node.output)
        elif node.op_type in ("Shape", "Size"):
            made = frozenset()
        elif taken and all(name in sources for name in taken) and not any(a.HasField("g") for a in node.attribute):
            made = frozenset().union(*(sources[name] for name in own))
        else:
            continue
        sources.update(dict.fromkeys(filter(None, node.output), made))
    return sources


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` with large constants as inputs: inference copies its model several times."""
    graph = model.graph
    skeleton = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    skeleton.graph.name = graph.name or "model"
    skeleton.graph.node.extend(graph.node)
    skeleton.graph.input.extend(graph.input)
    skeleton.graph.output.extend(graph.output)
    for tensor in graph.initializer:
        if len(tensor.dims) <= 1 and sum(tensor.dims) <= _LARGE:
            skeleton.graph.initializer.add().CopyFrom(tensor)
        else:
            made = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            skeleton.graph.input.append(made)
    return skeleton


def _dtype(elem_type: int) -> str:
    """Numpy's name of an ONNX number type; empty for other types."""
    if elem_type in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
        return ""
    if elem_type not in onnx.TensorProto.DataType.values():
        return ""
    return str(onnx.helper.tensor_dtype_to_np_dtype(elem_type).name)
