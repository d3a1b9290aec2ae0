"""How far an array is from what it should be: the one definition that every check and every report uses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class NumericError:
    """The error of an array against a reference.

    Attributes:
        max_abs: the largest absolute difference of two elements.
        relative: `max_abs` over the largest magnitude in the reference. It shows one wrong element of a large array,
            which a ratio of norms would hide. Infinite where the reference is all zeros and the array is not.
        cosine: the cosine of the angle between the two as vectors: 1 for the same direction, also of two arrays of
            zeros; -1 for the opposite; 0 where only one is all zeros.
    """

    max_abs: float
    relative: float
    cosine: float

    def to_json(self) -> dict[str, float | None]:
        """A JSON object; an infinite error is null."""
        errors = {"max_abs": self.max_abs, "relative": self.relative, "cosine": self.cosine}
        return {name: error if math.isfinite(error) else None for name, error in errors.items()}


EXACT = NumericError(0.0, 0.0, 1.0)
"""The error of an array that equals the reference."""

INCOMPARABLE = NumericError(math.inf, math.inf, 0.0)
"""The error of an array of another shape or dtype, or with NaN or infinity where the reference has something else."""


def numeric_error(reference: Array, computed: Array) -> NumericError:
    """The error of `computed` against `reference`.

    1. Another shape or dtype is `INCOMPARABLE`; `as_one_dtype` is for callers to whom dtypes do not matter.
    2. NaN and infinity must be at the same places in both, infinity with the same sign; otherwise the arrays are
       `INCOMPARABLE`. Those elements are ignored in all else.
    3. Integers and booleans are subtracted exactly, floats as float64.
    4. Arrays that are not of numbers are `EXACT` or `INCOMPARABLE`.

    Args:
        reference: integers, booleans or floats of at most 64 bits; or anything that can be tested for equality.
        computed: what should equal it.
    """
    if reference.shape != computed.shape or reference.dtype != computed.dtype:
        return INCOMPARABLE
    if reference.dtype.kind not in "biuf":
        return EXACT if np.array_equal(reference, computed) else INCOMPARABLE
    wanted, got = reference.ravel(), computed.ravel()
    if reference.dtype.kind == "f":
        finite = np.isfinite(wanted)
        if not finite.all():
            if not np.array_equal(wanted[~finite], got[~finite], equal_nan=True):
                return INCOMPARABLE
            wanted, got = wanted[finite], got[finite]
        if not np.isfinite(got).all():
            return INCOMPARABLE
    if np.array_equal(wanted, got):
        return EXACT
    measure = _errors_of_floats if reference.dtype.kind == "f" else _errors_of_integers
    max_abs, relative = measure(wanted, got)
    return NumericError(max_abs, relative, _cosine(wanted.astype(np.float64), got.astype(np.float64)))


def as_one_dtype(reference: Array, computed: Array) -> tuple[Array, Array]:
    """Both in the dtype that holds the values of both, for comparisons in which only the numbers matter."""
    dtype = np.result_type(reference, computed)
    return reference.astype(dtype), computed.astype(dtype)


def _errors_of_floats(wanted: Array, got: Array) -> tuple[float, float]:
    wanted, got = wanted.astype(np.float64), got.astype(np.float64)
    largest = _largest(wanted)
    with np.errstate(over="ignore"):
        max_abs = _largest(got - wanted)
    if math.isinf(max_abs):  # two large float64 of opposite signs; halving both keeps the ratio
        return max_abs, _ratio(_largest(got / 2 - wanted / 2), largest / 2)
    return max_abs, _ratio(max_abs, largest)


def _errors_of_integers(wanted: Array, got: Array) -> tuple[float, float]:
    # Differences of 64-bit integers need one bit more; modulo 2**64, larger minus smaller is right without it.
    larger, smaller = np.maximum(wanted, got).astype(np.uint64), np.minimum(wanted, got).astype(np.uint64)
    max_abs = float((larger - smaller).max())
    return max_abs, _ratio(max_abs, float(max(abs(int(wanted.min())), abs(int(wanted.max())))))


def _ratio(error: float, largest: float) -> float:
    return error / largest if largest else math.inf


def _largest(numbers: Array) -> float:
    return float(np.abs(numbers).max())


def _cosine(wanted: Array, got: Array) -> float:
    """The cosine of two float64 vectors that are not both zero."""
    if not wanted.any() or not got.any():
        return 0.0
    first, second = _unit(wanted), _unit(got)
    product = _sum_of_products(first, second)
    if abs(product) < 0.5:
        return product
    # Near 1, the sum of products has lost the digits that distinguish it from 1. Half the squared distance of the unit
    # vectors is 1 - cos, and the smaller, the more exact. Near -1, the same holds with one vector negated.
    sign = math.copysign(1.0, product)
    second *= sign
    first -= second
    return sign * (1.0 - _sum_of_products(first, first) / 2)


def _unit(vector: Array) -> Array:
    """`vector` with length 1.

    Divided by the largest magnitude first: squares of large numbers would overflow, those of small ones underflow.
    """
    unit: Array = vector / _largest(vector)
    unit /= math.sqrt(_sum_of_products(unit, unit))
    return unit


def _sum_of_products(first: Array, second: Array) -> float:
    # Not `first @ second`: the threads of BLAS would keep spinning while the tuner times the next kernel.
    return float(np.einsum("i,i->", first, second))
