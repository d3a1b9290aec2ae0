"""Sorting keys: integers that ascend from the best element to the worst.

An order of floating-point numbers needs care: 0 and -0 are equal, NaN is like nothing. As integers their bits have an
order that needs none, and that no setting of the processor changes (it may take small numbers for zero).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tvmopt.schedules.dtypes import dtype_of
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit

tirx = lazily("tvm.tirx")

KEYS: Mapping[str, str] = {
    **dict.fromkeys(("float16", "float32", "int8", "uint8", "int16", "uint16", "int32"), "int32"),
    **dict.fromkeys(("float64", "int64", "uint32", "uint64"), "int64"),
}
"""The type of the keys by the type of the elements; other elements have none."""

_FRACTION_BITS = {"float16": 10, "float32": 23, "float64": 52}


def key_of(value: Any, dtype: str, lanes: int, largest: bool) -> Any:
    """The keys of `lanes` elements.

    Equal elements have equal keys, 0 and -0 too. NaN counts as larger than infinity, and each NaN as equal to others.

    Args:
        value: the elements.
        dtype: their type, one of `KEYS`.
        lanes: how many.
        largest: whether the largest is the best, else the smallest.
    """
    kind = KEYS[dtype]
    if dtype in _FRACTION_BITS:
        ordered = _order_of_float(value, dtype, lanes)
    else:
        ordered = value if dtype == kind else value.astype(_vector(kind, lanes))
        if dtype == "uint64":
            ordered = tirx.bitwise_xor(ordered, _splat(-(1 << 63), kind, lanes))
    return tirx.bitwise_not(ordered) if largest else ordered


def least_key(dtype: str) -> int:
    """The least number of a key's type."""
    return -(1 << (8 * dtype_of(dtype).nbytes - 1))


def _order_of_float(value: Any, dtype: str, lanes: int) -> Any:
    """Integers in the order of floats: the bits behind the sign of negative ones are inverted."""
    width, kind = 8 * dtype_of(dtype).nbytes, KEYS[dtype]
    bits = tirx.reinterpret(_vector(f"int{width}", lanes), value)
    bits = bits if kind == f"int{width}" else bits.astype(_vector(kind, lanes))
    rest = (1 << (width - 1)) - 1
    infinity = rest >> _FRACTION_BITS[dtype] << _FRACTION_BITS[dtype]
    mask, zero = _splat(rest, kind, lanes), _splat(0, kind, lanes)
    size = tirx.bitwise_and(bits, mask)
    negative = tirx.shift_right(bits, _splat(8 * dtype_of(kind).nbytes - 1, kind, lanes))
    ordered = tirx.bitwise_xor(bits, tirx.bitwise_and(negative, mask))
    ordered = tirx.Select(tirx.EQ(size, zero), zero, ordered)
    return tirx.Select(tirx.GT(size, _splat(infinity, kind, lanes)), mask, ordered)


def _vector(dtype: str, lanes: int) -> str:
    return dtype if lanes == 1 else f"{dtype}x{lanes}"


def _splat(value: int, dtype: str, lanes: int) -> Any:
    return emit.splat(tirx.const(value, dtype), lanes)
