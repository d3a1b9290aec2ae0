"""How far an array is from what it should be: largest, relative and cosine error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """Errors of an array against a reference; all infinite when it is not finite where the reference is, or otherwise.

    Attributes:
        max_abs: the largest difference of two elements.
        relative: the L2 norm of the difference over the L2 norm of the reference; over 1 when the reference is zero.
        cosine: 1 less the cosine of the angle between the two, as vectors: 0 is the same direction, 2 the opposite.
    """

    max_abs: float
    relative: float
    cosine: float

    def to_json(self) -> dict[str, float | None]:
        """A JSON object; an infinite error is null."""
        errors = {"max_abs": self.max_abs, "relative": self.relative, "cosine": self.cosine}
        return {name: error if math.isfinite(error) else None for name, error in errors.items()}


INFINITE = Difference(math.inf, math.inf, math.inf)


def difference(reference: Array, computed: Array) -> Difference:
    """The errors of `computed`.

    Args:
        reference: numbers or booleans. Where it is infinite or undefined, `computed` must be the same; there it counts
            for nothing else.
        computed: of the same shape.
    """
    wanted, got = reference.astype(np.float64).ravel(), computed.astype(np.float64).ravel()
    finite = np.isfinite(wanted)
    if not np.array_equal(got[~finite], wanted[~finite], equal_nan=True) or not np.isfinite(got[finite]).all():
        return INFINITE
    wanted, got = wanted[finite], got[finite]
    # Divided by the largest magnitude first: squares of large numbers would overflow, of small ones vanish.
    scale = float(max(np.abs(wanted).max(initial=0.0), np.abs(got).max(initial=0.0)))
    if scale == 0.0:
        return Difference(0.0, 0.0, 0.0)
    max_abs = float(np.abs(got - wanted).max())
    wanted, got = wanted / scale, got / scale
    distance, size = float(np.linalg.norm(got - wanted)), float(np.linalg.norm(wanted))
    relative = distance / size if size else distance * scale
    return Difference(max_abs, relative, _cosine_error(wanted, got))


def _cosine_error(first: Array, second: Array) -> float:
    """Half the squared distance of the unit vectors, which is 1 - cos and keeps its digits where that is tiny."""
    lengths = float(np.linalg.norm(first)), float(np.linalg.norm(second))
    if not all(lengths):
        return 0.0 if lengths[0] == lengths[1] else 1.0
    apart = float(np.linalg.norm(first / lengths[0] - second / lengths[1]))
    return apart * apart / 2


def relative_error(result: Array, expected: Array) -> float:
    """The largest difference, relative to the largest magnitude expected; infinite when it is not of finite numbers.

    Args:
        result: numbers or booleans.
        expected: of the same shape. Where it is infinite or undefined, `result` must be the same.
    """
    result, expected = result.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(expected)
    if not np.array_equal(result[~finite], expected[~finite], equal_nan=True) or not np.isfinite(result[finite]).all():
        return float("inf")
    if not finite.any():
        return 0.0
    scale = max(float(np.abs(expected[finite]).max()), np.finfo(np.float64).tiny)
    return float(np.abs(result[finite] - expected[finite]).max() / scale)
