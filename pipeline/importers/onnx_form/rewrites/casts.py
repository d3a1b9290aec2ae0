"""Casts, and operators of mixed or unusual types."""

from __future__ import annotations

import numpy as np
import onnx

from tvmopt.pipeline.importers.onnx_form.rewrites.draft import Draft, Dtype, Rule, attributes_of

_BITS = 64
"""A larger power of an integer but 0, 1 and -1 does not fit."""


def cast_like(draft: Draft, node: onnx.NodeProto) -> bool:
    """CastLike as Cast."""
    data, like = node.input
    draft.give(node.output[0], draft.cast(data, draft.dtype(like)))
    return True


def eye_like(draft: Draft, node: onnx.NodeProto) -> bool:
    """EyeLike as a constant."""
    values = attributes_of(node)
    rows, columns = draft.shape(node.input[0])
    kind = values.get("dtype")
    dtype = draft.dtype(node.input[0]) if kind is None else onnx.helper.tensor_dtype_to_np_dtype(kind)
    draft.give(node.output[0], draft.store(np.eye(rows, columns, int(values.get("k", 0)), dtype)))
    return True


def is_inf(draft: Draft, node: onnx.NodeProto) -> bool:
    """IsInf of one sign as a comparison with that infinity."""
    values, data = attributes_of(node), node.input[0]
    signs = [sign for sign, name in ((1, "detect_positive"), (-1, "detect_negative")) if values.get(name, 1)]
    if len(signs) == 2:
        return False
    dtype = draft.dtype(data)
    if signs:
        made = draft.add("Equal", data, draft.store(signs[0] * np.inf, dtype))
    else:
        made = draft.store(np.zeros(draft.shape(data), bool))
    draft.give(node.output[0], made)
    return True


def power(draft: Draft, node: onnx.NodeProto) -> bool:
    """Pow of operands of different types, in the wider of floats, or in float64 for a base of integers."""
    base, exponent = (draft.dtype(name) for name in node.input)
    if base.kind in "iu" and exponent.kind in "iu":
        draft.give(node.output[0], _integer_power(draft, node, base))
        return True
    if base == exponent:
        return False
    if base.kind == "f" and (exponent.kind != "f" or exponent.itemsize < base.itemsize):
        draft.give(node.output[0], draft.add("Pow", node.input[0], draft.cast(node.input[1], base)))
        return True
    wide = np.dtype(np.float64)
    made = draft.add("Pow", *(draft.cast(name, wide) for name in node.input))
    draft.give(node.output[0], draft.cast(made, base))
    return True


def _integer_power(draft: Draft, node: onnx.NodeProto, dtype: Dtype) -> str:
    """Integers to the power of integers, by squaring; exact, or as far as the type reaches.

    A negative power is zero, except of one and minus one. Powers above the number of bits count by their parity only.
    """
    kind = np.dtype(np.int64)
    zero, one, two = (draft.store(number, kind) for number in (0, 1, 2))
    base, exponent = (draft.cast(name, kind) for name in node.input)
    size = draft.add("Abs", exponent)
    bits = draft.store(_BITS, kind)
    rest = draft.add(
        "Where", draft.add("Greater", size, bits), draft.add("Add", bits, draft.add("Mod", size, two)), size
    )
    result, square = one, base
    for _ in range(_BITS.bit_length()):
        odd = draft.add("Equal", draft.add("Mod", rest, two), one)
        result = draft.add("Mul", result, draft.add("Where", odd, square, one))
        rest, square = draft.add("Div", rest, two), draft.add("Mul", square, square)
    alone = draft.add("Equal", draft.add("Abs", base), one)
    fraction = draft.add("And", draft.add("Less", exponent, zero), draft.add("Not", alone))
    return draft.cast(draft.add("Where", fraction, zero, result), dtype)


RULES: dict[str, Rule] = {"CastLike": cast_like, "EyeLike": eye_like, "IsInf": is_inf, "Pow": power}
