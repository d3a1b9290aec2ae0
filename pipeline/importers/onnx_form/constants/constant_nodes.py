"""Nodes that only hold a constant."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from tvmopt.pipeline.errors import UnsupportedModelError


def constants_to_initializers(graph: onnx.GraphProto) -> None:
    """Makes an initialiser of every `Constant` of `graph`, in place.

    Raises:
        UnsupportedModelError: a constant is not a tensor of numbers.
    """
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        tensor = graph.initializer.add()
        tensor.CopyFrom(_constant_value(node))
        tensor.name = node.output[0]
        graph.node.remove(node)


def _constant_value(node: onnx.NodeProto) -> onnx.TensorProto:
    """The tensor that a `Constant` node holds, whichever attribute it is in."""
    attribute = node.attribute[0]
    if attribute.name == "value":
        tensor: onnx.TensorProto = attribute.t
        return tensor
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.name in ("value_float", "value_floats"):
        return numpy_helper.from_array(np.asarray(value, dtype=np.float32))
    if attribute.name in ("value_int", "value_ints"):
        return numpy_helper.from_array(np.asarray(value, dtype=np.int64))
    raise UnsupportedModelError(f"constant {node.name!r} is a {attribute.name}: only tensors of numbers are supported")
