"""Writes operators of quantised values in QDQ form: in float32, between DequantizeLinear and QuantizeLinear.

onnxruntime's quantiser in its operator format, and its optimisers, write them into models. In QDQ form they are layers
like any other, of which those with kernels of integers are found later (`pipeline.graph.quantized`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx
from onnx import helper

from tvmopt.pipeline.importers.onnx_form.operators import MICROSOFT, QUANTIZED_FORMS, STANDARD_DOMAINS, standard_opset
from tvmopt.pipeline.importers.onnx_form.plain_forms.move_bytes import move_floats
from tvmopt.pipeline.importers.onnx_form.plain_forms.writer import Form, Writer, written

AXIS_OPSET = 13
"""The first opset in which scales may be those of slices along an axis."""

SOFTMAX_OPSET = 13
"""The first opset in which softmax is that of one axis."""

_OWN = ("QLinearConv", "QLinearMatMul")
"""Operators of ONNX itself that have a form here."""


def write_in_floats(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model`, or a copy in which operators of quantised values stand in QDQ form.

    What only moves bytes, and the maximum of windows, moves the floats that they stand for as well. A node stays as it
    is where its form is not known: scales for slices before `AXIS_OPSET`, or channels that come last.
    """
    opset = standard_opset(model)
    known = {
        tensor.name: helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, tensor.dims).tensor_type
        for tensor in model.graph.initializer
    }
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        made = written(Writer(node, known, opset), _FORMS[node.op_type]) if _is_wanted(node) else None
        nodes += [node] if made is None else made
    single = {tensor.name for tensor in model.graph.initializer if math.prod(tensor.dims) == 1}
    nodes = move_floats(nodes, single)
    if len(nodes) == len(model.graph.node) and not any(map(_is_wanted, model.graph.node)):
        return model
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    del plain.graph.node[:]
    plain.graph.node.extend(nodes)
    return plain


def _is_wanted(node: onnx.NodeProto) -> bool:
    if node.domain in STANDARD_DOMAINS:
        return node.op_type in _OWN
    return node.domain == MICROSOFT and node.op_type in QUANTIZED_FORMS


def _real(to: Writer, place: int, axis: int = 0) -> str:
    """The floats that the operand at `place` stands for; its scale and zero point follow it."""
    data, scale, zero = (to.operand(place + i) for i in range(3))
    return to.write("DequantizeLinear", data, scale, *filter(None, (zero,)), **_along(to, scale, axis))


def _along(to: Writer, scale: str, axis: int) -> dict[str, int]:
    """The attributes of a scale: the axis, if there are several."""
    return {"axis": axis} if to.shape(scale) not in ((), (1,)) else {}


def _integers(to: Writer, value: str, place: int) -> str:
    """`value` as integers of the scale at `place`, and of the zero point behind it; `value` itself without a scale."""
    scale, zero = to.operand(place), to.operand(place + 1)
    return to.write("QuantizeLinear", value, scale, *filter(None, (zero,))) if scale else value


def _fits(to: Writer, *scales: str) -> bool:
    """Whether scales are single numbers, or vectors where the opset knows them."""
    shapes = [to.shape(name) for name in scales]
    single = all(shape in ((), (1,)) for shape in shapes)
    return single or (to.opset >= AXIS_OPSET and all(shape is not None and len(shape) < 2 for shape in shapes))


def _bias(to: Writer, place: int, scales: tuple[str, str]) -> list[str]:
    """The bias at `place`, if there is one: int32, whose scale is the product of those of data and weights."""
    bias = to.operand(place)
    if not bias:
        return []
    scale = to.write("Mul", *scales)
    several = any(to.shape(name) not in ((), (1,)) for name in scales)
    return [to.write("DequantizeLinear", bias, scale, **({"axis": -1} if several else {}))]


def _attributes(node: onnx.NodeProto, *left_out: str) -> dict[str, object]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute if a.name not in left_out}


def _convolution(to: Writer) -> str | None:
    scales = to.operand(1), to.operand(4)
    if not _fits(to, *scales):
        return None
    operands = [_real(to, 0), _real(to, 3), *_bias(to, 8, scales)]
    return _integers(to, to.write("Conv", *operands, **_attributes(to.node)), 6)


def _matmul(to: Writer) -> str | None:
    if not _fits(to, to.operand(1), to.operand(4)):
        return None
    return _integers(to, to.write("MatMul", _real(to, 0, -2), _real(to, 3, -1)), 6)


def _gemm(to: Writer) -> str | None:
    """The bias is added before the factor is applied."""
    scales = to.operand(1), to.operand(4)
    if not _fits(to, *scales):
        return None
    operands = [_real(to, 0), _real(to, 3, 0 if to.attribute("transB", 0) else 1), *_bias(to, 6, scales)]
    factor = {"beta": to.attribute("alpha", 1.0)} if len(operands) == 3 else {}
    return _integers(to, to.write("Gemm", *operands, **_attributes(to.node), **factor), 7)


def _of_two(operator: str) -> Form:
    return lambda to: _integers(to, to.write(operator, _real(to, 0), _real(to, 3)), 6)


def _of_one(operator: str) -> Form:
    def form(to: Writer) -> str | None:
        if to.attribute("channels_last", 0):
            return None
        attributes = _attributes(to.node, "channels_last")
        return _integers(to, to.write(operator, _real(to, 0), **attributes), 3)

    return form


def _softmax(to: Writer) -> str | None:
    """Before opset 13, softmax was that of all axes from one on."""
    axis = to.attribute("axis", -1)
    if to.attribute("opset", SOFTMAX_OPSET) < SOFTMAX_OPSET or to.opset < SOFTMAX_OPSET:
        return None
    return _integers(to, to.write("Softmax", _real(to, 0), axis=axis), 3)


def _concat(to: Writer) -> str:
    parts = [_real(to, place) for place in range(2, len(to.node.input), 3)]
    return _integers(to, to.write("Concat", *parts, axis=to.attribute("axis", 1)), 0)


def _where(to: Writer) -> str:
    return _integers(to, to.write("Where", to.operand(0), _real(to, 1), _real(to, 4)), 7)


def _scaled(to: Writer, sums: str, scales: tuple[str, str], bias: str) -> str:
    """Sums of int32 as floats, times both scales, and with a bias if there is one."""
    real = to.write("Mul", to.write("Cast", sums, to=onnx.TensorProto.FLOAT), to.write("Mul", *scales))
    return to.write("Add", real, bias) if bias else real


def _integers_to_float(to: Writer) -> str:
    left, right, left_scale, right_scale = (to.operand(place) for place in range(4))
    zeros = to.operand(4), to.operand(5)
    sums = to.write("MatMulInteger", left, right, *(zeros if zeros[1] else filter(None, zeros[:1])))
    return _scaled(to, sums, (left_scale, right_scale), to.operand(6))


def _dynamic(to: Writer) -> str:
    """The left operand is quantised by its own least and largest element."""
    left, right, scale, zero, bias = (to.operand(place) for place in range(5))
    names = [f"{to.node.output[0]}_left_{part}" for part in ("integers", "scale", "zero")]
    layer = to.node.name or to.node.output[0]
    to.made.append(helper.make_node("DynamicQuantizeLinear", [left], names, f"{layer}/DynamicQuantizeLinear"))
    integers, own_scale, own_zero = names
    sums = to.write("MatMulInteger", integers, right, own_zero, *filter(None, (zero,)))
    return _scaled(to, sums, (own_scale, scale), bias)


def _renamed(operator: str) -> Form:
    """QuantizeLinear and DequantizeLinear of onnxruntime, which had integers of 16 bits before ONNX did."""
    return lambda to: to.write(operator, *to.node.input, **_attributes(to.node))


_FORMS: Mapping[str, Form] = {
    "QLinearConv": _convolution,
    "QLinearMatMul": _matmul,
    "QGemm": _gemm,
    **{f"QLinear{name}": _of_two(name) for name in ("Add", "Mul")},
    **{f"QLinear{name}": _of_one(name) for name in ("Sigmoid", "LeakyRelu", "AveragePool", "GlobalAveragePool")},
    "QLinearSoftmax": _softmax,
    "QLinearConcat": _concat,
    "QLinearWhere": _where,
    "MatMulIntegerToFloat": _integers_to_float,
    "DynamicQuantizeMatMul": _dynamic,
    "QuantizeLinear": _renamed("QuantizeLinear"),
    "DequantizeLinear": _renamed("DequantizeLinear"),
}
