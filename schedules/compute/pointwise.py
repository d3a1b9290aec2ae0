"""Element-wise functions on vectors, most of them of float32: how each is computed.

Sources: exp, sigmoid and SiLU follow XNNPACK's, which rounds to an integer by adding a number so large that the sum has
no fraction. tanh follows Eigen's rational approximation. erf is a polynomial of our own, fitted for the smallest
relative error: a division of AVX-512 takes as long as all the rest.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from tvmopt.schedules.compute.coefficients import (
    ERF,
    ERF_BOUND,
    EXP,
    EXP_OF_MINUS,
    LOG_2,
    LOG_2_AT_ONCE,
    ROUND,
    TANH_ABOVE,
    TANH_BELOW,
)
from tvmopt.schedules.compute.functions import ARITY, LAST_BUT_ONE
from tvmopt.schedules.compute.trigonometry import Trigonometry
from tvmopt.schedules.compute.typed import element_type
from tvmopt.schedules.expression import Acc, Arg, Call, Const, Expr, Named


def _is_number(value: Any) -> bool:
    """Whether a TIR value is a constant in every lane, and not NaN."""
    from tvm import tirx

    scalar = value.value if isinstance(value, tirx.Broadcast) else value
    return isinstance(scalar, tirx.FloatImm) and not math.isnan(float(scalar.value))


class VectorMath(Trigonometry):
    """Evaluates expressions on vectors; `TypedMath` has the functions of other types than float32.

    Args:
        lanes: elements of a vector; 1 for scalars.
    """

    def evaluate(self, expr: Expr, accumulator: Any, argument: Callable[[Any], Any]) -> Any:
        """The TIR value of `expr`.

        Args:
            expr: what to compute.
            accumulator: the value of the operator's own result.
            argument: returns the value of an argument by its index, or of a named value by its name.

        Raises:
            ValueError: when `expr` names an unknown function.
        """
        match expr:
            case Acc():
                return accumulator
            case Arg(place) | Named(place):
                return argument(place)
            case Const(value):
                return self.const(value)
            case Call("dequantize", (Call("quantize", (value, step, zero)), scale, again)) if zero == again:
                parts = [self.evaluate(part, accumulator, argument) for part in (value, step, zero, scale)]
                return self.rounded(parts[0], parts[1], parts[2]) * parts[3]
            case Call(function, operands):
                if function not in ARITY:
                    raise ValueError(f"unknown element-wise function {function!r}")
                values = [self.evaluate(operand, accumulator, argument) for operand in operands]
                return getattr(self, f"_{function}")(*values)

    def const(self, value: float) -> Any:
        """`value` in every lane."""
        return self.number(float(value), "float32")

    def _int(self, value: int) -> Any:
        return self.number(value, "int32")

    def _add(self, x: Any, y: Any) -> Any:
        return self.wrapped(x, y, operator.add)

    def _sub(self, x: Any, y: Any) -> Any:
        return self.wrapped(x, y, operator.sub)

    def _mul(self, x: Any, y: Any) -> Any:
        return self.wrapped(x, y, operator.mul)

    def _div(self, x: Any, y: Any) -> Any:
        return x / y

    def _max(self, x: Any, y: Any) -> Any:
        from tvm import tirx

        return self._select_nan(tirx.max, x, y)

    def _min(self, x: Any, y: Any) -> Any:
        from tvm import tirx

        return self._select_nan(tirx.min, x, y)

    def _select_nan(self, function: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
        """`function`, ``tirx.max`` or ``tirx.min``, of `x` and `y`; NaN if either is NaN.

        TVM's functions compare and select: for unordered operands they return the second. One that is a number is
        therefore put first, and only two variables take more than one instruction.
        """
        from tvm import tirx

        if _is_number(x) or not element_type(x).startswith("float"):
            return function(x, y)
        if _is_number(y):
            return function(y, x)
        return self._let(x, lambda a: self._let(y, lambda b: tirx.Select(tirx.isnan(a), a, function(a, b))))

    def _round(self, x: Any) -> Any:
        from tvm import tirx

        return tirx.nearbyint(x)

    def _neg(self, x: Any) -> Any:
        # Zero minus zero would be zero.
        return self.const(-0.0) - x

    def _abs(self, x: Any) -> Any:
        from tvm import tirx

        return tirx.abs(x)

    def _sign(self, x: Any) -> Any:
        from tvm import tirx

        zero = self.const(0.0)

        def select(y: Any) -> Any:
            return tirx.Select(y > zero, self.const(1.0), tirx.Select(y < zero, self.const(-1.0), y))

        return self._let(x, select)

    def _sqrt(self, x: Any) -> Any:
        from tvm import tirx

        return tirx.sqrt(x)

    def _square_root_power(self, x: Any) -> Any:
        """`x` to the power of 0.5, which is not the square root for minus infinity and minus zero."""
        from tvm import tirx

        infinity = self.const(math.inf)
        return self._let(x, lambda y: tirx.Select(y == self._neg(infinity), infinity, tirx.abs(tirx.sqrt(y))))

    def _reciprocal(self, x: Any) -> Any:
        return self.const(1.0) / x

    def _floor(self, x: Any) -> Any:
        from tvm import tirx

        return tirx.floor(x)

    def _ceil(self, x: Any) -> Any:
        from tvm import tirx

        return tirx.ceil(x)

    def _log(self, x: Any) -> Any:
        from tvm import tirx

        return tirx.log(x)

    def _relu(self, x: Any) -> Any:
        return self._max(self.const(0.0), x)

    def _thresholded_relu(self, x: Any, alpha: Any) -> Any:
        from tvm import tirx

        return self._let(x, lambda y: tirx.Select(y > alpha, y, self.const(0.0)))

    def _clip(self, x: Any, low: Any, high: Any) -> Any:
        # For unordered operands TVM's functions return the second: NaN stays, and a bound that is NaN does nothing.
        from tvm import tirx

        return tirx.min(high, tirx.max(low, x))

    def _exp(self, x: Any) -> Any:
        # Within the bounds n is -126 … 128, so that 2**(n - 1) is a float32; at the lower end it is zero.
        bounded = self._clip(x, self.const(-87.33654), self.const(89.0))
        return self._let(bounded, lambda y: self._exp_inside(y, ROUND - 1) * self.const(2.0))

    def exp_to_one(self, x: Any) -> Any:
        """exp(x) for `x` of at most zero: without the upper bound and the doubling; zero from -88.1 down."""
        from tvm import tirx

        return self._let(tirx.max(self.const(-88.1), x), lambda y: self._exp_inside(y, ROUND, LOG_2_AT_ONCE))

    def _exp_inside(self, x: Any, rounding: float, log_2: tuple[float, ...] = LOG_2) -> Any:
        """exp(x) as 2**n · exp(r), |r| at most half of log 2; half of it if `rounding` is one less than `ROUND`.

        Args:
            x: the argument.
            rounding: what rounds to n.
            log_2: numbers whose sum is log 2; n times each of them is subtracted.
        """
        from tvm import tirx

        def reduced(t: Any) -> Any:
            bits = tirx.reinterpret(self._type("int32"), t) << self._int(23)
            power = tirx.reinterpret(self._type("float32"), bits)
            return self._let(power, lambda s: self._let(t - self.const(rounding), lambda n: rest(n, s)))

        def rest(n: Any, power: Any) -> Any:
            r = x
            for part in log_2:
                r = r - n * self.const(part)
            return self._let(r, lambda r: self._polynomial(r, EXP) * (r * power) + power)

        return self._let(x * self.const(1.44269504088896341) + self.const(rounding), reduced)

    def _let(self, value: Any, body: Callable[[Any], Any]) -> Any:
        """`body` of a name for `value`; without a name, a value used twice would occur twice in the tree."""
        from tvm import tirx

        name = tirx.Var("value", self._type(element_type(value)))
        return tirx.Let(name, value, body(name))

    def _polynomial(self, x: Any, coefficients: tuple[float, ...]) -> Any:
        value = self.const(coefficients[0])
        for coefficient in coefficients[1:]:
            value = value * x + self.const(coefficient)
        return value

    def _one_plus_exp_minus(self, x: Any) -> Any:
        """1 + exp(-x) for x between -88 and 87."""
        from tvm import tirx

        def inside(x: Any) -> Any:
            return self._let(x * self.const(-1.44269504088896341) + self.const(ROUND), lambda t: reduced(x, t))

        def reduced(x: Any, t: Any) -> Any:
            bits = tirx.reinterpret(self._type("int32"), t) << self._int(23)
            return self._let(tirx.reinterpret(self._type("float32"), bits), lambda power: rest(x, t, power))

        def rest(x: Any, t: Any, power: Any) -> Any:
            # exp(-x) = 2**n · exp(-r) with r = x + n · log 2, which is at most half of log 2.
            return self._let(
                t - self.const(ROUND),
                lambda n: self._let(
                    x + n * self.const(0.693359375) + n * self.const(-2.12194440e-4), lambda r: whole(r, power)
                ),
            )

        def whole(r: Any, power: Any) -> Any:
            return self._polynomial(r, EXP_OF_MINUS) * (r * power) + power + self.const(1.0)

        return self._let(x, inside)

    def _sigmoid(self, x: Any) -> Any:
        return self.const(1.0) / self._one_plus_exp_minus(self._clip(x, self.const(-88.0), self.const(87.0)))

    def _tanh(self, x: Any) -> Any:
        def inside(x: Any) -> Any:
            return self._let(x * x, lambda x2: ratio(x, x2))

        def ratio(x: Any, x2: Any) -> Any:
            return x * self._polynomial(x2, TANH_ABOVE) / self._polynomial(x2, TANH_BELOW)

        return self._let(self._clip(x, self.const(-7.90531110763549805), self.const(7.90531110763549805)), inside)

    def _erf(self, x: Any) -> Any:
        from tvm import tirx

        def inside(x: Any) -> Any:
            square = tirx.min(self.const(ERF_BOUND**2), x * x)
            scaled = square * self.const(2.0 / ERF_BOUND**2) - self.const(1.0)
            return self._let(scaled, lambda u: odd(x, u))

        # Beyond the bound the product exceeds 1, so that the result is exactly 1: GELU multiplies what remains by x.
        def odd(x: Any, u: Any) -> Any:
            return self._clip(x * self._polynomial(u, ERF), self.const(-1.0), self.const(1.0))

        return self._let(x, inside)

    def _silu(self, x: Any) -> Any:
        # Below -88 the true result is denormal or zero; this one stays at its value there, 5e-37.
        above = self._max(self.const(-88.0), x)
        return self._let(above, lambda y: y / self._one_plus_exp_minus(self._min(self.const(87.0), y)))

    def _softplus(self, x: Any) -> Any:
        return self._let(x, lambda y: self._relu(y) + self._let(self._exp(self._neg(self._abs(y))), self._log_one_plus))

    def _log_one_plus(self, x: Any) -> Any:
        """log(1 + x) for x from 0 on, with the relative precision of `log`.

        Source: W. Kahan; see D. Goldberg, What Every Computer Scientist Should Know About Floating-Point Arithmetic,
        theorem 4. The rounding of 1 + x cancels.
        """
        from tvm import tirx

        one = self.const(1.0)

        def exact(rounded: Any) -> Any:
            quotient = self._log(rounded) * x / (rounded - one)
            return tirx.Select(rounded == one, x, tirx.Select(rounded > self.const(1e30), self._log(rounded), quotient))

        return self._let(one + x, exact)

    def _atanh(self, x: Any) -> Any:
        from tvm import tirx

        def above(y: Any) -> Any:
            return self.const(0.5) * self._let((y + y) / (self.const(1.0) - y), self._log_one_plus)

        def signed(y: Any, result: Any) -> Any:
            zero = self.const(0.0)
            return tirx.Select(y > zero, result, tirx.Select(y < zero, self._neg(result), y))

        return self._let(x, lambda y: self._let(self._let(tirx.abs(y), above), lambda result: signed(y, result)))

    def _rank(self, x: Any) -> Any:
        """In the order of `x`, with NaN as the largest, and nothing as small as the least float32."""
        from tvm import tirx

        infinity, last = self.const(math.inf), self.const(LAST_BUT_ONE)

        def select(y: Any) -> Any:
            return tirx.Select(tirx.isnan(y), infinity, self._clip(y, self._neg(last), last))

        return self._let(x, select)

    def _leaky_relu(self, x: Any, slope: Any) -> Any:
        from tvm import tirx

        return tirx.Select(x < self.const(0.0), x * slope, x)

    def _elu(self, x: Any, alpha: Any) -> Any:
        from tvm import tirx

        return tirx.Select(x < self.const(0.0), alpha * (self._exp(x) - self.const(1.0)), x)

    def _select(self, condition: Any, x: Any, y: Any) -> Any:
        from tvm import tirx

        # `x` wherever the condition is not zero.
        return tirx.Select(tirx.EQ(condition, self.const(0.0)), y, x)

    def _hard_sigmoid(self, x: Any, alpha: Any, beta: Any) -> Any:
        return self._clip(alpha * x + beta, self.const(0.0), self.const(1.0))

    def _hard_swish(self, x: Any) -> Any:
        return self._let(x, lambda y: y * self._hard_sigmoid(y, self.const(1.0 / 6.0), self.const(0.5)))

    def _power(self, x: Any, exponent: Any) -> Any:
        from tvm import tirx

        return tirx.pow(x, exponent)

    def _integer_power(self, x: Any, exponent: Any) -> Any:
        """`x` to the power of a constant integer, not negative, by squaring."""
        from tvm import tirx

        scalar = exponent.value if isinstance(exponent, tirx.Broadcast) else exponent

        def power(base: Any, count: int) -> Any:
            if count <= 1:
                return base if count else self.const(1.0)
            rest = self._let(base * base, lambda square: power(square, count // 2))
            return rest * base if count % 2 else rest

        return self._let(x, lambda base: power(base, int(scalar.value)))

    def _if_greater(self, x: Any, bound: Any, then: Any, otherwise: Any) -> Any:
        """`then` where `x` is greater than `bound`, else, and for NaN, `otherwise`."""
        from tvm import tirx

        return tirx.Select(x > bound, then, otherwise)
