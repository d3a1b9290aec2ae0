"""Trigonometric and hyperbolic functions and their inverses, on vectors of float32.

Sources: arc functions follow S. L. Moshier's Cephes (asinf.c, atanf.c). Sine, cosine and tangent are those of the C
library, element by element: reducing a large angle takes more digits than a float32 has.
"""

from __future__ import annotations

import math
from typing import Any

from tvmopt.schedules.compute.coefficients import ARCSINE, ARCTANGENT, SINH
from tvmopt.schedules.compute.typed import TypedMath
from tvmopt.schedules.lazily import lazily

tirx = lazily("tvm.tirx")

_LARGE = 1e9
"""From here on, one more or less below a square root changes no float32."""


class Trigonometry(TypedMath):
    """The functions; `schedules.compute.pointwise.VectorMath` has what they build on."""

    const: Any
    _exp: Any
    _let: Any
    _log: Any
    _log_one_plus: Any
    _polynomial: Any
    _sqrt: Any

    def _sin(self, x: Any) -> Any:
        return tirx.sin(x)

    def _cos(self, x: Any) -> Any:
        return tirx.cos(x)

    def _tan(self, x: Any) -> Any:
        return self._let(x, lambda y: tirx.sin(y) / tirx.cos(y))

    def _sinh(self, x: Any) -> Any:
        def small(y: Any) -> Any:
            return self._let(y * y, lambda square: y + y * square * self._polynomial(square, SINH))

        def large(y: Any) -> Any:
            # The square root of exp does not overflow where half of exp is still a float32.
            root = self._exp(tirx.abs(y) * self.const(0.5))
            return self._let(root, lambda h: self._signed(y, self.const(0.5) * h * h - self.const(0.5) / (h * h)))

        return self._let(x, lambda y: tirx.Select(tirx.abs(y) < self.const(1.0), small(y), large(y)))

    def _cosh(self, x: Any) -> Any:
        root = self._exp(tirx.abs(x) * self.const(0.5))
        return self._let(root, lambda h: self.const(0.5) * h * h + self.const(0.5) / (h * h))

    def _asinh(self, x: Any) -> Any:
        one = self.const(1.0)

        def above(a: Any) -> Any:
            sum_less_one = self._let(a * a, lambda square: a + square / (one + self._sqrt(one + square)))
            return self._log_of_double(a, sum_less_one)

        return self._let(x, lambda y: self._let(self._let(tirx.abs(y), above), lambda made: self._signed(y, made)))

    def _acosh(self, x: Any) -> Any:
        def above(t: Any) -> Any:
            return self._log_of_double(t, t + self._sqrt(t) * self._sqrt(t + self.const(2.0)))

        return self._let(x - self.const(1.0), above)

    def _log_of_double(self, x: Any, sum_less_one: Any) -> Any:
        """The logarithm of one more than `sum_less_one`; for large `x` that of twice `x`."""
        large = self._log(x) + self.const(math.log(2.0))
        near = self._let(sum_less_one, self._log_one_plus)
        return self._let(large, lambda far: tirx.Select(x > self.const(_LARGE), far, near))

    def _atan(self, x: Any) -> Any:
        one = self.const(1.0)
        steep, flat = self.const(math.tan(3 * math.pi / 8)), self.const(math.tan(math.pi / 8))

        def reduced(y: Any, a: Any) -> Any:
            small = tirx.Select(a > flat, (a - one) / (a + one), a)
            start = tirx.Select(a > flat, self.const(math.pi / 4), self.const(0.0))
            rest = self._let(tirx.Select(a > steep, self.const(-1.0) / a, small), series)
            return self._signed(y, tirx.Select(a > steep, self.const(math.pi / 2), start) + rest)

        def series(z: Any) -> Any:
            return self._let(z * z, lambda square: z + z * square * self._polynomial(square, ARCTANGENT))

        return self._let(x, lambda y: self._let(tirx.abs(y), lambda a: reduced(y, a)))

    def _asin(self, x: Any) -> Any:
        def whole(y: Any, a: Any, part: Any) -> Any:
            return self._signed(y, tirx.Select(a > self.const(0.5), self.const(math.pi / 2) - part - part, part))

        return self._let(x, lambda y: self._arc_sine(y, whole))

    def _acos(self, x: Any) -> Any:
        def whole(y: Any, a: Any, part: Any) -> Any:
            zero, double = self.const(0.0), part + part
            outside = tirx.Select(y < zero, self.const(math.pi) - double, double)
            inside = self.const(math.pi / 2) - tirx.Select(y < zero, zero - part, part)
            return tirx.Select(a > self.const(0.5), outside, inside)

        return self._let(x, lambda y: self._arc_sine(y, whole))

    def _arc_sine(self, y: Any, whole: Any) -> Any:
        """`whole` of `y`, its size, and the arc sine of that, or above 0.5 of the root of half its distance to 1."""

        def series(z: Any, s: Any) -> Any:
            return s + s * z * self._polynomial(z, ARCSINE)

        def part(a: Any) -> Any:
            half = self.const(0.5)
            rest = half * (self.const(1.0) - a)
            square = tirx.Select(a > half, rest, a * a)
            base = self._let(rest, lambda z: tirx.Select(a > half, self._sqrt(z), a))
            return self._let(square, lambda z: self._let(base, lambda s: series(z, s)))

        return self._let(tirx.abs(y), lambda a: self._let(part(a), lambda made: whole(y, a, made)))

    def _signed(self, y: Any, size: Any) -> Any:
        """`size` with the sign of `y`; zero and NaN as they are."""
        zero = self.const(0.0)
        return self._let(size, lambda s: tirx.Select(y > zero, s, tirx.Select(y < zero, zero - s, y)))
