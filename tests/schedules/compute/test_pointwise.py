from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.compute.functions import ARITY, CASTS, LAST_BUT_ONE, ONE_BY_ONE, TRUTHS, finite_at_zero
from tvmopt.schedules.compute.pointwise import VectorMath
from tvmopt.schedules.expression import ACC, Arg, Const, Expr, call
from tvmopt.schedules.workload import Tensor

HUGE = np.float32(3.4e38)
EVERYWHERE = np.concatenate(
    [
        np.linspace(-12, 12, 4001),
        np.linspace(-110, 110, 4001),
        *(sign * np.logspace(-38, 38, 400) for sign in (-1, 1)),
        [0.0, 88.0, 88.3, 88.4, 88.7, 88.72, 88.73, 89.0, -87.3, -87.4, -103.0, HUGE, -HUGE, np.inf, -np.inf],
    ]
).astype(np.float32)
ABOVE_INFINITY = EVERYWHERE[~np.isneginf(EVERYWHERE)]
POSITIVE = np.abs(EVERYWHERE[EVERYWHERE != 0])
WITHIN_ONE = EVERYWHERE[np.abs(EVERYWHERE) < 1]
MODERATE = EVERYWHERE[np.abs(EVERYWHERE) < 1e18]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def ranks(x: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(x), np.inf, np.clip(x, -LAST_BUT_ONE, LAST_BUT_ONE))


def erf(x: np.ndarray) -> np.ndarray:
    import torch

    return torch.erf(torch.from_numpy(x)).numpy()


# The expected value of each one-operand function in float64, and the points where it is tested.
FUNCTIONS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]] = {
    "neg": (np.negative, EVERYWHERE),
    "abs": (np.abs, EVERYWHERE),
    "sign": (np.sign, EVERYWHERE),
    "sqrt": (np.sqrt, POSITIVE),
    "square_root_power": (lambda x: np.power(x, np.full_like(x, 0.5)), np.append(POSITIVE, np.float32(-np.inf))),
    "reciprocal": (lambda x: 1 / x, POSITIVE),
    "floor": (np.floor, EVERYWHERE),
    "ceil": (np.ceil, EVERYWHERE),
    "exp": (np.exp, EVERYWHERE),
    "log": (np.log, POSITIVE),
    "relu": (lambda x: np.maximum(x, 0), EVERYWHERE),
    "sigmoid": (sigmoid, EVERYWHERE),
    "tanh": (np.tanh, EVERYWHERE),
    "erf": (erf, EVERYWHERE),
    "silu": (lambda x: x * sigmoid(x), ABOVE_INFINITY),
    "softplus": (lambda x: np.logaddexp(x, 0), EVERYWHERE),
    "atanh": (np.arctanh, WITHIN_ONE),
    "rank": (ranks, np.append(EVERYWHERE, np.float32(np.nan))),
    "hard_swish": (lambda x: x * np.clip(x / 6 + 0.5, 0, 1), ABOVE_INFINITY),
    "round": (np.rint, EVERYWHERE),
    "sin": (np.sin, MODERATE),
    "cos": (np.cos, MODERATE),
    "tan": (np.tan, MODERATE),
    "asin": (np.arcsin, WITHIN_ONE),
    "acos": (np.arccos, WITHIN_ONE),
    "atan": (np.arctan, EVERYWHERE),
    "sinh": (np.sinh, EVERYWHERE),
    "cosh": (np.cosh, EVERYWHERE),
    "asinh": (np.arcsinh, EVERYWHERE),
    "acosh": (np.arccosh, POSITIVE[POSITIVE >= 1]),
}

# The same with constants for the further operands.
WITH_CONSTANTS: dict[str, tuple[tuple[float, ...], Callable[[np.ndarray], np.ndarray]]] = {
    "add": ((0.75,), lambda x: x + 0.75),
    "sub": ((0.75,), lambda x: x - 0.75),
    "mul": ((0.75,), lambda x: x * 0.75),
    "div": ((0.75,), lambda x: x / 0.75),
    "max": ((0.75,), lambda x: np.maximum(x, 0.75)),
    "min": ((0.75,), lambda x: np.minimum(x, 0.75)),
    "thresholded_relu": ((0.75,), lambda x: np.where(x > 0.75, x, 0)),
    "leaky_relu": ((0.1,), lambda x: np.where(x < 0, x * np.float32(0.1), x)),
    "elu": ((0.5,), lambda x: np.where(x < 0, 0.5 * np.expm1(np.minimum(x, 0)), x)),
    "hard_sigmoid": ((0.2, 0.5), lambda x: np.clip(np.float32(0.2) * x + 0.5, 0, 1)),
    "clip": ((-1.5, 6.0), lambda x: np.clip(x, -1.5, 6)),
    "power": ((1.5,), lambda x: x**1.5),
    "integer_power": ((7.0,), lambda x: x**7),
    "if_greater": ((0.5, 2.0, -3.0), lambda x: np.where(x > 0.5, 2, -3)),
    "select": ((2.0, -3.0), lambda x: np.where(x == 0, -3.0, 2.0)),
}

TYPED = TRUTHS | ONE_BY_ONE | CASTS.keys() | {"where", "quantize", "dequantize", "table"}
"""Functions of other types than float32; the tests of typed kernels and of quantised values try them."""

TAKES_NO_NAN = {"rank", "thresholded_relu"}
"""These are defined to be numbers where the operand is NaN."""

ABSOLUTE = {
    "elu": 2e-7,
    "erf": 1e-7,
    "hard_sigmoid": 6e-8,
    "hard_swish": 3e-7,
    "silu": 1e-36,
    "tanh": 2e-7,
}
"""These are exact in absolute terms only: near their zeros, larger numbers cancel."""


def check_elements(result: np.ndarray, exact: np.ndarray, absolute: float) -> None:
    """Checks that each element is right to float32 precision whatever the others are; overflow gives infinity."""
    with np.errstate(over="ignore"):
        expected = exact.astype(np.float32)
    finite = np.isfinite(expected)
    assert np.array_equal(result[~finite], expected[~finite], equal_nan=True)
    error = np.abs(result[finite].astype(np.float64) - exact[finite])
    # Denormal numbers may be flushed to zero.
    allowed = 4e-7 * np.abs(exact[finite]) + absolute + 2.4e-38
    worst = int(np.argmax(error / allowed))
    assert error[worst] <= allowed[worst], f"{result[finite][worst]} should be {exact[finite][worst]}"


def test_every_function_is_tried() -> None:
    assert set(FUNCTIONS) | set(WITH_CONSTANTS) == set(ARITY) - TYPED
    assert all(ARITY[name] == 1 for name in FUNCTIONS)
    assert all(ARITY[name] == 1 + len(constants) for name, (constants, _) in WITH_CONSTANTS.items())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_one_operand(kernels: Any, make: Any, name: str) -> None:
    function, values = FUNCTIONS[name]
    workload = make("pointwise", (Tensor(values.shape),), Tensor(values.shape), call(name, Arg(0)))
    (result,) = kernels.run(workload, [values], kernels.configs(workload, 0))
    with np.errstate(all="ignore"):
        exact = function(values.astype(np.float64))
    check_elements(result, exact, ABSOLUTE.get(name, 0.0))


@pytest.mark.parametrize("name", WITH_CONSTANTS)
def test_functions_with_constants(kernels: Any, make: Any, name: str) -> None:
    constants, function = WITH_CONSTANTS[name]
    expr = call(name, Arg(0), *(Const(value) for value in constants))
    workload = make("pointwise", (Tensor(EVERYWHERE.shape),), Tensor(EVERYWHERE.shape), expr)
    (result,) = kernels.run(workload, [EVERYWHERE], kernels.configs(workload, 0))
    with np.errstate(all="ignore"):
        exact = function(EVERYWHERE.astype(np.float64))
    check_elements(result, exact, ABSOLUTE.get(name, 0.0))


@pytest.mark.parametrize(
    "name", sorted({*FUNCTIONS, *WITH_CONSTANTS} - {*TAKES_NO_NAN, "max", "min", "if_greater", "select"})
)
def test_nan_stays_nan(kernels: Any, make: Any, name: str) -> None:
    constants = WITH_CONSTANTS[name][0] if name in WITH_CONSTANTS else ()
    values = np.full(19, np.nan, np.float32)
    expr = call(name, Arg(0), *(Const(value) for value in constants))
    workload = make("pointwise", (Tensor(values.shape),), Tensor(values.shape), expr)
    (result,) = kernels.run(workload, [values], kernels.configs(workload, 0))
    assert np.isnan(result).all()


def test_gelu_as_the_graph_writes_it(kernels: Any, make: Any) -> None:
    import torch

    half = call("mul", Const(0.5), Arg(0))
    expr = call("mul", half, call("add", Const(1.0), call("erf", call("mul", Arg(0), Const(0.7071067811865476)))))
    workload = make("pointwise", (Tensor(MODERATE.shape),), Tensor(MODERATE.shape), expr)
    (result,) = kernels.run(workload, [MODERATE], kernels.configs(workload, 0))
    exact = torch.nn.functional.gelu(torch.from_numpy(MODERATE.astype(np.float64))).numpy()
    check_elements(result, exact, 2e-6)


@pytest.mark.parametrize("exponent", [-2.5, -1.0, 0.0, 0.75, 2.5, 3.0, 1e3])
def test_powers_at_special_values_are_the_librarys(kernels: Any, make: Any, exponent: float) -> None:
    values = np.array([0.0, -0.0, 1.0, -1.0, 2.0, -2.0, np.inf, -np.inf, np.nan] * 3, np.float32)
    expr = call("power", Arg(0), Const(exponent))
    workload = make("pointwise", (Tensor(values.shape),), Tensor(values.shape), expr)
    (result,) = kernels.run(workload, [values], kernels.configs(workload, 0))
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(result, np.power(values, np.float32(exponent)), rtol=1e-6)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 6, 16])
def test_integer_powers_at_special_values(kernels: Any, make: Any, exponent: int) -> None:
    values = np.array([0.0, -0.0, 1.5, -1.5, 1e20, -1e20, np.inf, -np.inf, np.nan] * 3, np.float32)
    expr = call("integer_power", Arg(0), Const(float(exponent)))
    workload = make("pointwise", (Tensor(values.shape),), Tensor(values.shape), expr)
    (result,) = kernels.run(workload, [values], kernels.configs(workload, 0))
    with np.errstate(all="ignore"):
        expected = np.power(values, np.float32(exponent))
    np.testing.assert_allclose(result, expected, rtol=1e-6)
    assert np.array_equal(np.signbit(result), np.signbit(expected))


# An exponent that is computed may be negative, and an integer one is always a constant.
@pytest.mark.parametrize("name", sorted({*ARITY} - {"power", "integer_power"} - TYPED))
def test_finite_at_zero_matches_the_kernel(host: Any, make: Any, name: str) -> None:
    expr = call(name, *(Arg(i) for i in range(ARITY[name])))
    zeros = [np.zeros(5, np.float32)] * ARITY[name]
    workload = make("pointwise", [Tensor((5,))] * ARITY[name], Tensor((5,)), expr)
    (result,) = host.run(workload, zeros, host.configs(workload, 0))
    assert np.isfinite(result).all() == finite_at_zero(expr)


@pytest.mark.parametrize(
    ("expr", "finite"),
    [
        (ACC, True),
        (call("div", ACC, Const(6.0)), True),
        (call("div", ACC, Const(0.0)), False),
        (call("power", ACC, Const(1.5)), True),
        (call("power", ACC, Const(-0.5)), False),
        (call("power", ACC, Arg(0)), False),
        (call("integer_power", ACC, Const(3.0)), True),
        (call("div", call("log", ACC), Const(6.0)), False),
        (call("relu", call("reciprocal", Arg(0))), False),
    ],
)
def test_dividing_by_a_constant_is_safe(expr: Expr, finite: bool) -> None:
    assert finite_at_zero(expr) is finite


def test_unknown_functions_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown element-wise function 'gamma'"):
        VectorMath(1).evaluate(call("gamma", Arg(0)), None, lambda i: i)
