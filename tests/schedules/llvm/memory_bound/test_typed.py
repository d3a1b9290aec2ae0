"""Element-wise functions on all element types and on values that hurt: equal to numpy's, bit for bit where exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.expression import Arg, Const, Expr, call
from tvmopt.schedules.workload import Tensor, Workload

INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
EDGES = np.array([0, -0.0, 1, -1, 2.5, np.nan, np.inf, -np.inf], np.float32)
CLOSE = 4e-7
"""The relative error of functions that no instruction computes."""


def check(kernels: Any, expr: Expr, arrays: Sequence[np.ndarray], dtype: str, tolerance: float = 0.0) -> None:
    """Compares each element, signs of zeros and NaN too."""
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    inputs = tuple(Tensor(array.shape, array.dtype.name) for array in arrays)
    workload = Workload("pointwise", inputs, Tensor(shape, dtype), (), expr)
    with np.errstate(all="ignore"):
        expected = reference(workload, arrays)
    for memory in kernels.unoptimized().run(workload, arrays, kernels.configs(workload, 3)):
        result = workload.output.restore(memory)
        assert result.dtype == expected.dtype
        np.testing.assert_allclose(result, expected, rtol=tolerance, atol=0)
        if expected.dtype.kind == "f":
            numbers = ~np.isnan(expected)
            np.testing.assert_array_equal(np.signbit(result)[numbers], np.signbit(expected)[numbers])


def pairs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every value beside every other."""
    return np.repeat(values, len(values)), np.tile(values, len(values))


def integers(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of a prime length over the whole range: sums and products wrap, some pairs are equal."""
    limits, random = np.iinfo(dtype), np.random.default_rng(3)
    x, y = (random.integers(limits.min, limits.max, 101, dtype, endpoint=True) for _ in range(2))
    x[:2], y[:2] = limits.min, limits.max
    y[40:60] = x[40:60]
    return x, y


@pytest.mark.parametrize("function", ["less", "less_equal", "equal"])
def test_comparisons_of_floats(kernels: Any, function: str) -> None:
    for dtype in (np.float32, np.float64):
        check(kernels, call(function, Arg(0), Arg(1)), [x.astype(dtype) for x in pairs(EDGES)], "bool")
    check(kernels, call(function, Arg(0), Const(1.0)), [EDGES], "bool")


@pytest.mark.parametrize("function", ["add", "sub", "mul", "max", "min"])
def test_functions_of_float64(kernels: Any, function: str) -> None:
    x, y = (values.astype(np.float64) for values in pairs(EDGES))
    if function in ("max", "min"):
        # Of two zeros, numpy and we may choose another one.
        x, y = x + 0.0, y + 0.0
    check(kernels, call(function, Arg(0), Arg(1)), [x, y], "float64")


@pytest.mark.parametrize("function", ["is_nan", "is_infinite", "to_bool"])
def test_tests_of_floats(kernels: Any, function: str) -> None:
    check(kernels, call(function, Arg(0)), [EDGES], "bool")


@pytest.mark.parametrize("function", ["and", "or", "xor", "equal"])
def test_truth_values(kernels: Any, function: str) -> None:
    random = np.random.default_rng(0)
    x, y = random.random((3, 1, 37)) < 0.5, random.random((5, 37)) < 0.5
    check(kernels, call(function, Arg(0), call("not", Arg(1))), [x, y], "bool")


def test_any_byte_but_zero_is_true(kernels: Any) -> None:
    x = np.array([0, 1, 2, 255, 128], np.uint8).view(bool)
    workload = Workload("pointwise", (Tensor((5,), "bool"),), Tensor((5,), "bool"), (), call("not", Arg(0)))
    (memory,) = kernels.run(workload, [x], kernels.configs(workload, 0))
    assert memory.view(np.uint8).tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers(kernels: Any, dtype: str) -> None:
    x, y = integers(dtype)
    for function in ("add", "sub", "mul", "max", "min"):
        check(kernels, call(function, Arg(0), Arg(1)), [x, y], dtype)
    # What wraps may not be assumed to be greater.
    check(kernels, call("less", call("add", Arg(0), Arg(1)), Arg(0)), [x, y], "bool")
    check(kernels, call("where", call("equal", Arg(0), Arg(1)), Arg(0), Arg(2)), [x, y, y[:1]], dtype)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("function", ["quotient", "remainder", "modulo"])
def test_division_of_integers(kernels: Any, function: str, dtype: str) -> None:
    limits = np.iinfo(dtype)
    signed = limits.min < 0
    divisors = np.array([1, 2, 3, limits.max, *((-1, -2, -7, limits.min) if signed else ())], dtype)
    values = np.array([0, 1, 5, 6, 7, limits.max, limits.min, *((-1, -5, -6, -7) if signed else ())], dtype)
    x, y = np.repeat(values, len(divisors)), np.tile(divisors, len(values))
    check(kernels, call(function, Arg(0), Arg(1)), [x, y], dtype)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_casts_of_integers(kernels: Any, dtype: str) -> None:
    for target in ("bool", "float32", "int32", "int64"):
        check(kernels, call(f"to_{target}", Arg(0)), [integers(dtype)[0]], target)


def test_casts_of_floats_drop_the_fraction(kernels: Any) -> None:
    x = np.array([0.0, -0.0, 0.99, -0.99, 1.5, -2.5, 2**30, -(2.0**31)], np.float32)
    for target in ("int32", "int64"):
        check(kernels, call(f"to_{target}", Arg(0)), [x], target)


def test_choices_keep_nan_and_signs(kernels: Any) -> None:
    x, y = pairs(EDGES)
    condition = np.random.default_rng(1).random(len(x)) < 0.5
    check(kernels, call("where", Arg(0), Arg(1), Arg(2)), [condition, x, y], "float32")
    check(kernels, call("where", call("less", Arg(0), Const(0.0)), Arg(1), Const(-0.0)), [x, y], "float32")


FUNCTIONS = ("round", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_of_float32(kernels: Any, function: str) -> None:
    near = np.linspace(-1.1, 1.1, 401, dtype=np.float32)
    wide = np.geomspace(1e-7, 88, 200, dtype=np.float32)
    ends = np.array([89.4, -89.4, 90.0, 1e-40, -1e-40, 0.5, 1.5, -2.5, np.sqrt(2) - 1, np.sqrt(2) + 1], np.float32)
    # Infinitely many digits of pi reduce the largest angles.
    far = np.array([3e38, -3e38, 1e10, -1e10] if function not in ("sin", "cos", "tan") else [], np.float32)
    x = np.concatenate([EDGES, near, wide, -wide, ends, far])
    check(kernels, call(function, Arg(0)), [x], "float32", CLOSE if function != "round" else 0.0)
