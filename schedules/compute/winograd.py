"""Winograd's minimal filtering: the three transforms along an axis, for any output tile, kernel and stride.

Along one axis, a tile of m outputs of a kernel g of r taps is ``Aᵀ [(G g) ⊙ (Bᵀ d)]`` for a patch d of m+r-1 inputs:
m+r-1 multiplications in place of m·r. The matrices follow Toom and Cook, with m+r-2 points and infinity. Over images
the transforms of both axes are nested: ``Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`` (Lavin and Gray, "Fast Algorithms for
Convolutional Neural Networks", CVPR 2016; Blahut, "Fast Algorithms for Signal Processing").

With a stride, inputs whose positions have the same remainder meet their own share of the taps; the sum of these
convolutions without stride is the result. Transposed, each remainder of the outputs has its own share of the taps
(`schedules.compute.phases`). Either way the matrices of the shares stand side by side in one larger filter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.compute.phases import Phases

Matrix = npt.NDArray[np.float64]

POINTS = tuple(Fraction(point) for point in ("0", "1", "-1", "2", "-2", "1/2", "-1/2"))
"""Where the polynomials are evaluated: at small numbers, since rounding errors grow with their powers, and at pairs of
opposite sign, whose transforms share sums."""

TILES = (2, 4, 6)
"""Output tiles that are tried; with a stride or transposed, of each share."""

MOST_PARTS = 1000
"""More than any denominator of a filter."""


@dataclass(frozen=True, eq=False)
class Filter:
    """The matrices of one output tile along one axis.

    Attributes:
        step: inputs from a tile's patch to the next one's.
        data: Bᵀ, ``(points, patch)``.
        kernel: G, ``(points, taps)``.
        output: Aᵀ, ``(tile, points)``.
        pairs: positions of evaluation points p and -p, whose rows of Bᵀ and columns of Aᵀ share sums.
    """

    step: int
    data: Matrix
    kernel: Matrix
    output: Matrix
    pairs: tuple[tuple[int, int], ...] = ()

    @property
    def points(self) -> int:
        """Multiplications."""
        return len(self.data)

    @property
    def patch(self) -> int:
        """Inputs that a tile depends on."""
        return int(self.data.shape[1])

    @property
    def tile(self) -> int:
        """Outputs of a tile."""
        return len(self.output)

    @property
    def alone(self) -> bool:
        """Whether each output depends on one input: the filter of an axis without a window."""
        return self.data.shape == self.output.shape == (1, 1)


ALONE = Filter(1, np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)))


@dataclass(frozen=True, eq=False)
class IntegerFilters:
    """Filters of both axes whose matrices are integers.

    Attributes:
        rows, columns: the filters.
        multiples: by column of a tile, how many times the convolution its results are.
    """

    rows: Filter
    columns: Filter
    multiples: tuple[int, ...]


def has_filter(tile: int, taps: int) -> bool:
    """Whether there are enough points for tiles of `tile` outputs of a kernel of `taps` taps."""
    return taps == 1 or tile + taps - 2 <= len(POINTS)


@cache
def filter_of(tile: int, taps: int, stride: int = 1) -> Filter:
    """The filter along an axis of a convolution.

    Raises:
        ValueError: when there are not enough points for that size.
    """
    parts = []
    for first in range(min(stride, taps)):
        own = range(first, taps, stride)
        inputs = [first + stride * i for i in range(tile + len(own) - 1)]
        parts.append((_toom_cook(tile, len(own)), inputs, own, range(tile)))
    return _joined(parts, ((tile - 1) * stride + taps, taps, tile), tile * stride)


@cache
def transposed_filter(tile: int, taps: int, phases: Phases) -> Filter:
    """The filter along an axis of a transposed convolution; patches begin with the first input of any phase.

    Args:
        tile: outputs of each phase in a tile.
        taps: taps of the kernel.
        phases: neighbouring taps of each phase must meet neighbouring inputs.

    Raises:
        ValueError: when there are not enough points for that size.
    """
    count = len(phases.each)
    begin = first_input(phases)
    parts, patch = [], tile
    for number, phase in enumerate(phases.each):
        if not phase.taps:
            continue
        inputs = [phase.shift - begin + i for i in range(tile + len(phase.taps) - 1)]
        patch = max(patch, inputs[-1] + 1)
        parts.append((_toom_cook(tile, len(phase.taps)), inputs, phase.taps, range(number, tile * count, count)))
    return _joined(parts, (patch, taps, tile * count), tile)


def first_input(phases: Phases) -> int:
    """The first input that the first tap of any phase meets."""
    return min((phase.shift for phase in phases.each if phase.taps), default=0)


def transform_kernels(axes: tuple[Filter, Filter], weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """``G g Gᵀ`` of kernels ``(O, I, rows, columns)``, in double precision: ``(points, I, O)``."""
    rows, columns = axes
    moved = np.einsum("xi,ocij,yj->xyco", rows.kernel, weights.astype(np.float64), columns.kernel)
    return np.asarray(moved.reshape(rows.points * columns.points, *moved.shape[2:]), np.float32)


def in_integers(rows: Filter, columns: Filter) -> IntegerFilters:
    """The filters of both axes with matrices of integers: each result is a multiple of the convolution.

    Factors make integers of the kernel. The output is divided by as much of them as leaves it integers with powers of
    two alone: the odd part of the denominators, which all points have, stays in the results.

    Raises:
        ValueError: when the data would not be transformed by integers.
    """
    (rows, by_row), (columns, by_column) = _in_integers(rows), _in_integers(columns)
    most = math.lcm(*by_row)
    scaled = np.array([most // multiple for multiple in by_row])[:, None] * rows.output
    return IntegerFilters(replace(rows, output=scaled), columns, tuple(most * multiple for multiple in by_column))


def _in_integers(given: Filter) -> tuple[Filter, tuple[int, ...]]:
    """A filter with matrices of integers, and of what each of its outputs is how often itself."""
    if (given.data != np.round(given.data)).any():
        raise ValueError("the data is not transformed by integers")
    kernel, output = _fractions(given.kernel), _fractions(given.output)
    whole = math.lcm(*(entry.denominator for row in kernel for entry in row))
    odd = whole // (whole & -whole)
    factors = [math.lcm(odd, *(entry.denominator for entry in row)) for row in kernel]
    multiples = [
        math.lcm(*((entry / factor).denominator for entry, factor in zip(row, factors, strict=True))) for row in output
    ]
    for point, factor in enumerate(factors):
        left = math.gcd(*(int(row[point] * multiple / factor) for row, multiple in zip(output, multiples, strict=True)))
        factors[point] *= left & -left
    scale = np.array(factors, np.float64)
    back = given.output * np.array(multiples, np.float64)[:, None] / scale
    return replace(given, kernel=np.round(given.kernel * scale[:, None]), output=np.round(back)), tuple(multiples)


def _fractions(matrix: Matrix) -> list[list[Fraction]]:
    return [[Fraction(float(entry)).limit_denominator(MOST_PARTS) for entry in row] for row in matrix]


Part = tuple[Filter, Sequence[int], Sequence[int], Sequence[int]]
"""A filter, and the positions of its inputs, taps and outputs in a larger one."""


def _joined(parts: Sequence[Part], sizes: tuple[int, int, int], step: int) -> Filter:
    """The sum of filters, each on its own inputs, taps and outputs; `sizes` are those of the whole."""
    points = sum(part.points for part, *_ in parts)
    data, kernel, output = (np.zeros((points, size)) for size in sizes)
    pairs, first = [], 0
    for part, inputs, taps, outputs in parts:
        rows = slice(first, first + part.points)
        data[rows, list(inputs)] = part.data
        kernel[rows, list(taps)] = part.kernel
        output[rows, list(outputs)] = part.output.T
        pairs += [(first + one, first + other) for one, other in part.pairs]
        first += part.points
    return Filter(step, data, kernel, np.ascontiguousarray(output.T), tuple(pairs))


@cache
def _toom_cook(tile: int, taps: int) -> Filter:
    """The filter of a kernel without stride; with one tap, nothing is to be saved.

    Raises:
        ValueError: when there are not enough points.
    """
    if taps == 1:
        return Filter(tile, np.eye(tile), np.ones((tile, 1)), np.eye(tile))
    if not has_filter(tile, taps):
        raise ValueError(f"Winograd tiles of {taps} taps have at most {len(POINTS) - taps + 2} outputs, got {tile}")
    points = POINTS[: tile + taps - 2]
    data, kernel, output = [], [], []
    for j, point in enumerate(points):
        others = [p for i, p in enumerate(points) if i != j]
        scale = math.prod((point - other for other in others), start=Fraction(1))
        data.append([*_product(others), Fraction(0)])
        kernel.append([point**k / scale for k in range(taps)])
        output.append([point**i for i in range(tile)])
    data.append(_product(points))
    kernel.append([Fraction(0)] * (taps - 1) + [Fraction(1)])
    output.append([Fraction(0)] * (tile - 1) + [Fraction(1)])
    pairs = tuple((i, i + 1) for i in range(1, len(points) - 1, 2))
    return Filter(tile, _floats(data), _floats(kernel), _floats(output).T, pairs)


def _product(points: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients, lowest first, of the product of (x - p) over the points."""
    coefficients = [Fraction(1)]
    for point in points:
        shifted = [Fraction(0), *coefficients]
        scaled = [*(-point * c for c in coefficients), Fraction(0)]
        coefficients = [a + b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


def _floats(rows: list[list[Fraction]]) -> Matrix:
    return np.array([[float(x) for x in row] for row in rows])
