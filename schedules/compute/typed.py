"""Element-wise functions on vectors of any number type: truth values, comparisons, choices, casts, wrapping integers.

A truth value is 0 or 1 in a uint8, as bytes of memory hold it: TVM compares and names no vectors of booleans.
"""

from __future__ import annotations

import math
from operator import sub
from typing import Any

from tvmopt.schedules.lazily import lazily

tirx = lazily("tvm.tirx")

TRUTH = "uint8"
"""The element type of truth values inside kernels."""

WHOLE = 12582912.0
"""1.5 · 2**23: with a number below 2**22 added, the sum has no fraction, and its low bits are the nearest integer."""


class TypedMath:
    """The functions whose operands need not be float32.

    Args:
        lanes: elements of a vector; 1 for scalars.
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes

    def number(self, value: float, dtype: str) -> Any:
        """`value` in every lane."""
        scalar = tirx.const(value, dtype)
        return scalar if self.lanes == 1 else tirx.Broadcast(scalar, self.lanes)

    def cast(self, value: Any, dtype: str) -> Any:
        """`value` as elements of another type."""
        return tirx.Cast(self._type(dtype), value)

    def _type(self, dtype: str) -> str:
        return dtype if self.lanes == 1 else f"{dtype}x{self.lanes}"

    def truth(self, condition: Any) -> Any:
        """A condition of TVM's, or numbers of which all but zero are true, as truth values."""
        dtype = element_type(condition)
        if dtype != "bool":
            return self._not(self.cast(tirx.EQ(condition, self.number(0, dtype)), TRUTH))
        return self.cast(condition, TRUTH)

    def wrapped(self, x: Any, y: Any, function: Any) -> Any:
        """`function`, a sum, difference or product, of `x` and `y`; that of integers wraps.

        LLVM may assume that TVM's integers do not overflow. Twice as wide they cannot, and LLVM narrows them again.
        """
        dtype = element_type(x)
        if dtype.startswith("float"):
            return function(x, y)
        kind = dtype.rstrip("0123456789")
        wide = f"{kind}{2 * int(dtype[len(kind) :])}"
        return self.cast(function(self.cast(x, wide), self.cast(y, wide)), dtype)

    def _less(self, x: Any, y: Any) -> Any:
        return self.truth(x < y)

    def _less_equal(self, x: Any, y: Any) -> Any:
        return self.truth(x <= y)

    def _equal(self, x: Any, y: Any) -> Any:
        return self.truth(tirx.EQ(x, y))

    def _is_nan(self, x: Any) -> Any:
        return self.truth(tirx.isnan(x))

    def _is_infinite(self, x: Any) -> Any:
        return self.truth(tirx.EQ(tirx.abs(x), self.number(math.inf, element_type(x))))

    def _not(self, x: Any) -> Any:
        return x ^ self.number(1, TRUTH)

    def _and(self, x: Any, y: Any) -> Any:
        return x & y

    def _or(self, x: Any, y: Any) -> Any:
        return x | y

    def _xor(self, x: Any, y: Any) -> Any:
        return x ^ y

    def _where(self, condition: Any, x: Any, y: Any) -> Any:
        return tirx.Select(tirx.EQ(condition, self.number(0, TRUTH)), y, x)

    # The processor divides one element at a time, and fails where the quotient is one more than the largest number.

    def _quotient(self, x: Any, y: Any) -> Any:
        """Rounded towards zero."""
        return self._divided(x, y, tirx.truncdiv, lambda x: self.wrapped(self.number(0, element_type(x)), x, sub))

    def _remainder(self, x: Any, y: Any) -> Any:
        """With the sign of `x`."""
        return self._divided(x, y, tirx.truncmod, lambda x: self.number(0, element_type(x)))

    def _modulo(self, x: Any, y: Any) -> Any:
        """With the sign of `y`."""
        return self._divided(x, y, tirx.floormod, lambda x: self.number(0, element_type(x)))

    def _divided(self, x: Any, y: Any, function: Any, by_minus_one: Any) -> Any:
        """`function` of `x` and `y`; where `y` is -1, a function of `x`. A branch: a choice would divide, too."""

        def whole(x: Any, y: Any) -> Any:
            if element_type(y).startswith("uint"):
                return function(x, y)
            return tirx.if_then_else(tirx.EQ(y, self.number(-1, element_type(y))), by_minus_one(x), function(x, y))

        return self._scalar(x, lambda x: self._scalar(y, lambda y: whole(x, y)))

    def _scalar(self, value: Any, body: Any) -> Any:
        """`body` of a name for `value`, a scalar."""
        name = tirx.Var("scalar", element_type(value))
        return tirx.Let(name, value, body(name))

    def _quantize(self, x: Any, scale: Any, zero: Any) -> Any:
        """``x / scale`` rounded half to even, plus `zero`, saturating; NaN becomes the least.

        Saturating comes first: it leaves small numbers, which are exact as float32.
        """
        offset = known(zero)
        # The bits of the sum are those of an integer, of which the lowest are kept.
        bits = tirx.reinterpret(self._type("int32"), self._with_whole(x, scale, zero))
        if offset is None:
            return self.cast(bits + self.cast(zero, "int32"), "uint8")
        return self.cast(bits + self.number(int(offset), "int32") if offset else bits, "uint8")

    def rounded(self, x: Any, scale: Any, zero: Any) -> Any:
        """What a quantised value stands for, in steps of the scale: the integer less the zero point, as float32."""
        # Without a name for the sum, TVM would take the number out again.
        name = tirx.Var("whole", self._type("float32"))
        return tirx.Let(name, self._with_whole(x, scale, zero), name - self.number(WHOLE, "float32"))

    def _with_whole(self, x: Any, scale: Any, zero: Any) -> Any:
        """The number nearest to ``x / scale`` within the range of quantised values, plus `WHOLE`."""
        offset = known(zero)
        if offset is None:
            low, high = self.number(0.0, "float32") - zero, self.number(255.0, "float32") - zero
        else:
            low, high = self.number(-offset, "float32"), self.number(255.0 - offset, "float32")
        bounded = tirx.min(tirx.max(x if known(scale) == 1.0 else x / scale, low), high)
        return bounded + self.number(WHOLE, "float32")

    def _dequantize(self, x: Any, scale: Any, zero: Any) -> Any:
        floats = self.cast(x, "float32")
        return (floats if known(zero) == 0.0 else floats - zero) * scale

    def _table(self, x: Any, table: Any) -> Any:
        """The entries of a table (`schedules.llvm.parts.lookup`) at the places `x`."""
        return table.of(x, self.lanes)

    def _to_bool(self, x: Any) -> Any:
        return self.truth(x)

    def _to_float32(self, x: Any) -> Any:
        return self.cast(x, "float32")

    def _to_int32(self, x: Any) -> Any:
        return self.cast(x, "int32")

    def _to_int64(self, x: Any) -> Any:
        return self.cast(x, "int64")


def known(value: Any) -> float | None:
    """The number that a constant has in every lane; None for what is no constant."""
    scalar = value.value if isinstance(value, tirx.Broadcast) else value
    return float(scalar.value) if isinstance(scalar, tirx.FloatImm) else None


def element_type(value: Any) -> str:
    """The element type of a TIR value."""
    return str(value.ty.dtype).split("x")[0]
