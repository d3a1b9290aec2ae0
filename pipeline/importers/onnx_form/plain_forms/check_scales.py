"""Refuses scales and zero points that quantise nothing: a model that has them was damaged, or quantised wrongly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.operators import MICROSOFT, STANDARD_DOMAINS
from tvmopt.pipeline.support.weights.parked import array_of

Array = np.ndarray


class _Place(NamedTuple):
    """Where a node has what belongs together: data, which may be a result (None), its scale and its zero point."""

    data: int | None
    scale: int
    zero: int


_TWO = (_Place(0, 1, 2), _Place(3, 4, 5))
_PLACES: Mapping[str, tuple[_Place, ...]] = {
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), _TWO[:1]),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul"), (*_TWO, _Place(None, 6, 7))),
    "QGemm": (*_TWO, _Place(None, 7, 8)),
    **{
        f"QLinear{name}": (_TWO[0], _Place(None, 3, 4))
        for name in ("Sigmoid", "LeakyRelu", "Softmax", "AveragePool", "GlobalAveragePool")
    },
    "MatMulIntegerToFloat": (_Place(0, 2, 4), _Place(1, 3, 5)),
    "DynamicQuantizeMatMul": (_Place(1, 2, 3),),
}
_AXES = {"QuantizeLinear": 1, "DequantizeLinear": 1, "QLinearConv": 0}
"""The axis of scales where an operator does not say it; others take a scale for each row or column."""


def check_scales(model: onnx.ModelProto) -> None:
    """Checks the constant scales and zero points of `model`.

    Raises:
        UnsupportedModelError: a scale is zero, negative or not finite, there are not as many as the data has slices
            along their axis, or integers of 32 bits have a zero point; names the layer.
    """
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                stored[node.output[0]] = attribute.t
        if node.domain not in (*STANDARD_DOMAINS, MICROSOFT):
            continue
        for place in _places(node):
            wrong = _why_wrong(node, place, stored)
            if wrong:
                raise UnsupportedModelError(f"layer {node.name!r} ({node.op_type}): {wrong}")


def _places(node: onnx.NodeProto) -> Iterator[_Place]:
    if node.op_type == "QLinearConcat":
        yield _Place(None, 0, 1)
        yield from (_Place(first, first + 1, first + 2) for first in range(2, len(node.input), 3))
    yield from _PLACES.get(node.op_type, ())


def _why_wrong(node: onnx.NodeProto, place: _Place, stored: Mapping[str, onnx.TensorProto]) -> str:
    """What is wrong with a scale and its zero point; empty if nothing is known to be."""
    data, scale, zero = (
        stored.get(node.input[at]) if at is not None and at < len(node.input) else None for at in place
    )
    if scale is None or scale.data_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
        return ""
    scales = array_of(scale)
    wide = data is not None and data.data_type == onnx.TensorProto.INT32
    # A channel whose weights are all zero may have a bias whose scale is too small for a float.
    fits = np.isfinite(scales) & (scales >= 0 if wide else scales > 0)
    if not fits.all():
        return f"a scale is {scales[~fits].reshape(-1)[0]:g}; a scale is a positive number"
    if wide and zero is not None and array_of(zero).any():
        return f"the zero point of int32 is {array_of(zero).reshape(-1)[0]}; only 0 is possible"
    return _why_misplaced(node, data, scales)


def _why_misplaced(node: onnx.NodeProto, data: onnx.TensorProto | None, scales: Array) -> str:
    """Why scales do not fit the slices of constant data."""
    values = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if data is None or scales.ndim != 1 or scales.size == 1 or node.op_type not in _AXES or values.get("block_size"):
        return ""
    rank, axis = len(data.dims), int(values.get("axis", _AXES[node.op_type]))
    if not -rank <= axis < rank:
        return f"its scales are those of axis {axis}, but the data has {rank} axes"
    if data.dims[axis] != scales.size:
        return f"there are {scales.size} scales for the {data.dims[axis]} slices along axis {axis}"
    return ""
