"""Winograd's minimal filtering for 3×3 kernels: the three transforms, for any output tile.

An output tile Y of m×m pixels is ``Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`` for a kernel g and an input patch d of (m+2)×(m+2):
(m+2)² multiplications in place of 9m². The matrices follow Toom and Cook, with m+1 points and infinity (Lavin and Gray,
"Fast Algorithms for Convolutional Neural Networks", CVPR 2016; Blahut, "Fast Algorithms for Signal Processing").
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

KERNEL = 3
POINTS = tuple(Fraction(point) for point in ("0", "1", "-1", "2", "-2", "1/2", "-1/2"))
"""Where the polynomials are evaluated: at small numbers, since rounding errors grow with their powers, and at pairs of
opposite sign, whose transforms share sums."""

TILES = (2, 4, 6)
"""Output tiles for which there are enough points."""


@dataclass(frozen=True, eq=False)
class Transforms:
    """The matrices of one output tile.

    Attributes:
        tile: m, rows and columns of an output tile.
        data: Bᵀ, ``(m+2, m+2)``.
        kernel: G, ``(m+2, 3)``.
        output: Aᵀ, ``(m, m+2)``.
        pairs: positions of evaluation points p and -p, whose rows of Bᵀ and columns of Aᵀ share sums.
    """

    tile: int
    data: Matrix
    kernel: Matrix
    output: Matrix
    pairs: tuple[tuple[int, int], ...]

    @property
    def patch(self) -> int:
        """Rows and columns of an input patch, m + 2."""
        return self.tile + KERNEL - 1

    def transform_kernels(self, weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """``G g Gᵀ`` of kernels ``(O, I, 3, 3)``, in double precision: ``((m+2)², I, O)``."""
        moved = np.einsum("xi,ocij,yj->xyco", self.kernel, weights.astype(np.float64), self.kernel)
        return np.asarray(moved.reshape(self.patch**2, *moved.shape[2:]), np.float32)


@cache
def transforms(tile: int) -> Transforms:
    """The matrices for output tiles of `tile`×`tile`.

    Raises:
        ValueError: when there are no points for that size.
    """
    if tile not in TILES:
        raise ValueError(f"Winograd tiles are {', '.join(map(str, TILES))}, got {tile}")
    points = POINTS[: tile + 1]
    data, kernel, output = [], [], []
    for j, point in enumerate(points):
        others = [p for i, p in enumerate(points) if i != j]
        scale = Fraction(1)
        for other in others:
            scale *= point - other
        data.append([*_product(others), Fraction(0)])
        kernel.append([point**k / scale for k in range(KERNEL)])
        output.append([point**i for i in range(tile)])
    data.append(_product(points))
    kernel.append([Fraction(0)] * (KERNEL - 1) + [Fraction(1)])
    output.append([Fraction(0)] * (tile - 1) + [Fraction(1)])
    pairs = tuple((i, i + 1) for i in range(1, tile + 1, 2))
    return Transforms(tile, _floats(data), _floats(kernel), _floats(output).T, pairs)


def _product(points: list[Fraction] | tuple[Fraction, ...]) -> list[Fraction]:
    """Coefficients, lowest first, of the product of (x - p) over the points."""
    coefficients = [Fraction(1)]
    for point in points:
        shifted = [Fraction(0), *coefficients]
        scaled = [*(-point * c for c in coefficients), Fraction(0)]
        coefficients = [a + b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


def _floats(rows: list[list[Fraction]]) -> Matrix:
    return np.array([[float(x) for x in row] for row in rows])
