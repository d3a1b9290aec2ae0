"""Integer products between scales and zero points, scales that follow from the data, and scales for blocks of elements.

Products of bytes with constant weights become products of floats, less their zero points: floats are exact as long as
sums are below 2**24, and `pipeline.graph.quantized` computes them with integers where there are kernels for these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx

from tvmopt.pipeline.importers.onnx_form.rewrites.draft import (
    Array,
    Draft,
    Dtype,
    NotKnownError,
    Rule,
    attributes_of,
    input_of,
    output_of,
)
from tvmopt.pipeline.importers.onnx_form.rewrites.windows import Window, window_of

FLOAT = np.dtype(np.float32)


def requantize(draft: Draft, sums: str, scales: Sequence[str], zero: str, dtype: Dtype) -> str:
    """Sums of int32 as quantised values: times the scale of each factor, over that of the result, which comes last."""
    first, second, result = scales
    real = draft.add("Mul", draft.cast(sums, np.float32), draft.add("Div", draft.add("Mul", first, second), result))
    return saturate(draft, draft.add("Round", real), zero, dtype)


def saturate(draft: Draft, rounded: str, zero: str, dtype: Dtype, floats: Dtype = FLOAT) -> str:
    """Floats without fraction, plus a zero point if there is one, as the nearest integers of `dtype`."""
    moved = draft.add("Add", rounded, draft.cast(zero, floats)) if zero else rounded
    limits = np.iinfo(dtype)
    clipped = draft.add("Clip", moved, draft.store(limits.min, floats), draft.store(limits.max, floats))
    return draft.cast(clipped, dtype)


def quantized_matmul(draft: Draft, node: onnx.NodeProto) -> bool:
    """QLinearMatMul as MatMulInteger and a change of scale."""
    left, left_scale, left_zero, right, right_scale, right_zero, scale, zero = node.input
    if any(draft.dtype(name) != np.float32 for name in (left_scale, right_scale, scale)):
        return False
    if len(draft.shape(left_scale)) > 1 or len(draft.shape(right_scale)) > 1:
        return False
    if any(draft.shape(name) not in ((), (1,)) for name in (left_scale, left_zero)):
        return False
    sums = draft.add("MatMulInteger", left, right, left_zero, right_zero)
    draft.give(
        node.output[0], requantize(draft, sums, (left_scale, right_scale, scale), zero, draft.dtype(node.output[0]))
    )
    return True


def integer_matmul(draft: Draft, node: onnx.NodeProto) -> bool:
    """MatMulInteger with constant weights as MatMul of floats, less their zero points."""
    left, right = node.input[:2]
    weights = _whole_floats(draft, right, input_of(node, 3), (-1,))
    if weights is None or weights.ndim < 2:
        return False
    data = _centred(draft, left, input_of(node, 2))
    if data is None:
        return False
    product = draft.add("MatMul", data, draft.store(weights))
    draft.give(node.output[0], draft.cast(product, np.int32))
    return True


def integer_convolution(draft: Draft, node: onnx.NodeProto) -> bool:
    """ConvInteger with constant weights as Conv of floats, less their zero points; others over the windows."""
    data, weight = node.input[:2]
    zeros = input_of(node, 2), input_of(node, 3)
    rank = len(draft.shape(weight))
    weights = _whole_floats(draft, weight, zeros[1], (-1, *[1] * (rank - 1)))
    centred = _centred(draft, data, zeros[0]) if weights is not None else None
    if centred is None:
        draft.give(node.output[0], _convolve(draft, node, (data, weight), zeros))
        return True
    sums = draft.add("Conv", centred, draft.store(weights), **attributes_of(node))
    # Some algorithms for floats are not exact.
    draft.give(node.output[0], draft.cast(draft.add("Round", sums), np.int32))
    return True


def _centred(draft: Draft, data: str, zero: str) -> str | None:
    """Bytes as floats, less their zero point; None if that is not a single number."""
    if zero and draft.shape(zero) not in ((), (1,)):
        return None
    floats = draft.cast(data, np.float32)
    return draft.add("Sub", floats, draft.cast(zero, np.float32)) if zero else floats


def _whole_floats(draft: Draft, weights: str, zero: str, shape: Sequence[int]) -> Array | None:
    """Constant weights as floats, less their zero points in a given shape; None if they are computed."""
    if not draft.is_constant(weights) or (zero and not draft.is_constant(zero)):
        return None
    floats: Array = draft.constant(weights).astype(np.float32)
    return floats - draft.constant(zero).astype(np.float32).reshape(shape) if zero else floats


def dynamic(draft: Draft, node: onnx.NodeProto) -> bool:
    """DynamicQuantizeLinear: the scale and the zero point follow from the least and the largest element."""
    data, rank = node.input[0], len(draft.shape(node.input[0]))
    if not rank:
        return False
    nothing, most = draft.store(0, np.float32), draft.store(255, np.float32)
    low = draft.add("Min", draft.reduce("ReduceMin", data, range(rank), keepdims=False), nothing)
    high = draft.add("Max", draft.reduce("ReduceMax", data, range(rank), keepdims=False), nothing)
    width = draft.add("Sub", high, low)
    flat = draft.add("Equal", width, nothing)
    scale = draft.add("Where", flat, draft.store(1, np.float32), draft.add("Div", width, most))
    place = draft.add("Div", draft.add("Neg", low), scale)
    zero = draft.add("QuantizeLinear", place, draft.store(1, np.float32), draft.store(0, np.uint8))
    draft.give(node.output[0], draft.add("QuantizeLinear", data, scale, zero))
    draft.give(output_of(node, 1), scale)
    draft.give(output_of(node, 2), zero)
    return True


def quantized_convolution(draft: Draft, node: onnx.NodeProto) -> bool:
    """QLinearConv as MatMulInteger over the windows and a change of scale."""
    data, data_scale, data_zero, weight, weight_scale, weight_zero, scale, zero = node.input[:8]
    sums = _convolve(draft, node, (data, weight), (data_zero, weight_zero))
    column = (-1, *[1] * (len(draft.shape(data)) - 2))
    if input_of(node, 8):
        sums = draft.add("Add", sums, draft.reshape(node.input[8], column))
    if draft.shape(weight_scale) not in ((), (1,)):
        weight_scale = draft.reshape(weight_scale, column)
    draft.give(
        node.output[0], requantize(draft, sums, (data_scale, weight_scale, scale), zero, draft.dtype(node.output[0]))
    )
    return True


def _convolve(draft: Draft, node: onnx.NodeProto, operands: tuple[str, str], zeros: tuple[str, str]) -> str:
    """The sums of a convolution of integers, as int32."""
    data, weight = operands
    batch, channels, *sizes = draft.shape(data)
    outputs, of_group, *kernel = draft.shape(weight)
    groups, window = int(attributes_of(node).get("group", 1)), window_of(node, sizes, kernel)
    zero = draft.cast(zeros[0], np.int32) if zeros[0] else draft.store(0, np.int32)
    # Zero points are subtracted first, so that the padding, which is zero, contributes nothing.
    centred = draft.add("Sub", draft.cast(data, np.int32), draft.reshape(zero, ()) if zeros[0] else zero)
    patches = _patches(draft, centred, (batch, channels), window)
    columns = draft.reshape(patches, (batch, groups, of_group * window.taps, window.steps))
    factors = draft.cast(weight, np.int32)
    if zeros[1]:
        shape = draft.shape(zeros[1])
        each = zeros[1] if shape in ((), (1,)) else draft.reshape(zeros[1], (-1, *[1] * (len(kernel) + 1)))
        factors = draft.add("Sub", factors, draft.cast(each, np.int32))
    rows = draft.reshape(factors, (groups, outputs // groups, of_group * window.taps))
    product = draft.add("MatMul", rows, columns)
    return draft.reshape(product, (batch, outputs, *window.after))


def _patches(draft: Draft, data: str, lead: tuple[int, int], window: Window) -> str:
    """The elements under each window: (N, C, taps, windows)."""
    if any(window.pads):
        before, after = window.ends
        data = draft.add("Pad", data, draft.ints(0, 0, *before, 0, 0, *after))
    flat = draft.reshape(data, (*lead, math.prod(window.padded)))
    return draft.take(flat, np.ravel_multi_index(window.places(), window.padded), 2)


def blocked(draft: Draft, node: onnx.NodeProto) -> bool:
    """QuantizeLinear and DequantizeLinear with a scale for each block of elements."""
    values, data, scale, zero = attributes_of(node), node.input[0], node.input[1], input_of(node, 2)
    size = int(values.get("block_size", 0))
    if not size:
        return False
    shape = draft.shape(data)
    axis = int(values.get("axis", 1)) % len(shape)
    places = np.arange(shape[axis]) // size
    scale, kind = draft.take(scale, places, axis), draft.dtype(scale)
    if node.op_type == "DequantizeLinear":
        wide = draft.cast(data, kind)
        if zero:
            wide = draft.add("Sub", wide, draft.cast(draft.take(zero, places, axis), kind))
        draft.give(node.output[0], draft.add("Mul", wide, scale))
        return True
    made = draft.dtype(node.output[0])
    if made.kind not in "iu" or made.name not in ("int8", "uint8", "int16", "uint16"):
        raise NotKnownError(node.output[0])
    rounded = draft.add("Round", draft.add("Div", draft.cast(data, kind), scale))
    offset = draft.take(zero, places, axis) if zero else ""
    draft.give(node.output[0], saturate(draft, rounded, offset, made, kind))
    return True


def table(draft: Draft, node: onnx.NodeProto) -> bool:
    """Gather from a quantised table: the rows that are chosen become floats, not the table."""
    made = next((made for made in draft.nodes if made.output[0] == node.input[0]), None)
    if made is None or made.op_type != "DequantizeLinear" or not draft.is_constant(made.input[0]):
        return False
    if draft.shape(made.input[1]) not in ((), (1,)):
        return False
    rows = draft.add("Gather", made.input[0], node.input[1], **attributes_of(node))
    draft.give(node.output[0], draft.add("DequantizeLinear", rows, *made.input[1:]))
    return True


RULES: dict[str, Rule] = {
    "QLinearMatMul": quantized_matmul,
    "MatMulInteger": integer_matmul,
    "DynamicQuantizeLinear": dynamic,
    "Gather": table,
    "ConvInteger": integer_convolution,
    "QLinearConv": quantized_convolution,
    "QuantizeLinear": blocked,
    "DequantizeLinear": blocked,
}
