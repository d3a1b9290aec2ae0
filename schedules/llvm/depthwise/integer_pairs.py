"""Depthwise convolution of integers by products of 16 bits: two rows of the kernel at a time, one below the other.

Two pixels of a column, widened, are pairs of 16 bits for each channel. They take one multiply-add for each window that
has the column, whose weights stand side by side likewise. The last row of an odd number stands beside zeros. Sums are
int32 and exact for all weights.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.depthwise.depthwise_tile import Store
from tvmopt.schedules.llvm.depthwise.integer_tile import IntegerTile
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt
from tvmopt.schedules.llvm.parts.operands import Pixel
from tvmopt.schedules.llvm.parts.pairs import multiply_add_pairs
from tvmopt.schedules.llvm.parts.quads import SUMS
from tvmopt.schedules.llvm.parts.register_tile import Accumulators

tirx = lazily("tvm.tirx")

ROWS = 2
"""Rows of the kernel that are multiplied at once."""


class PairsTile(IntegerTile):
    """Writes tiles of a workload of integers."""

    @staticmethod
    def elements(kernel: tuple[int, ...]) -> int:
        """Four bytes of weights for each pair of rows and column."""
        return math.ceil(kernel[0] / ROWS) * kernel[1]

    @staticmethod
    def pack(weights: npt.NDArray[Any], lanes: int) -> npt.NDArray[Any]:
        """Weights C×KH×KW → ``(C/lanes, KH/2, KW, lanes, 2)``, int16, padded with zeros."""
        padded = np.pad(weights.astype(np.int16), ((0, 0), (0, -weights.shape[1] % ROWS), (0, 0)))
        pairs = padded.reshape(-1, lanes, padded.shape[1] // ROWS, ROWS, padded.shape[2])
        return np.ascontiguousarray(pairs.transpose(0, 2, 4, 1, 3))

    def write(self, at: Pixel, size: tuple[int, int], unroll_rows: bool, store: Store) -> Stmt:
        """The tile of `size` rows and columns that begins at output pixel `at`."""
        places = [(i, j) for i in range(size[0]) for j in range(size[1])]
        sums = Accumulators(len(places), 1, self.lanes, SUMS)
        pairs, alone = divmod(self.kernel[0], ROWS)

        def two_rows(number: Index) -> Stmt:
            return self._columns(at, size, sums, number, both=True)

        body = self.start(at, sums)
        if unroll_rows:
            body += [two_rows(number) for number in range(pairs)]
        elif pairs:
            body.append(emit.loop(pairs, two_rows, "kh"))
        if alone:
            body.append(self._columns(at, size, sums, pairs, both=False))
        body += store([(sums.value(p, 0), i, j) for p, (i, j) in enumerate(places)])
        return sums.run(body)

    def _columns(self, at: Pixel, size: tuple[int, int], sums: Accumulators, number: Index, both: bool) -> Stmt:
        """What a pair of the kernel's rows, or the last one alone, adds: column by column of the window."""
        rows, columns = size
        statements: list[Stmt] = []
        for i in range(rows):
            for column in range((columns - 1) * self.stride[1] + self.kernel[1]):
                users = [(j, column - j * self.stride[1]) for j in range(columns)]
                users = [(j, tap) for j, tap in users if 0 <= tap < self.kernel[1]]
                if not users:
                    continue
                pixels = tirx.Var("pixels", f"{SUMS}x{self.lanes}")
                statements.append(tirx.Bind(pixels, self._pair(at, (i, column), number, both)))
                for j, tap in users:
                    p, weights = i * columns + j, self.weights(at.block, number * self.kernel[1] + tap)
                    value = multiply_add_pairs(sums.value(p, 0), pixels, weights, self.target)
                    statements.append(sums.set(p, 0, value))
        return emit.seq(statements)

    def _pair(self, at: Pixel, place: tuple[int, int], number: Index, both: bool) -> emit.Expr:
        """For each channel two pixels of a column, one below the other, or one and zero, as int32."""
        y = (at.row + place[0]) * self.stride[0] + number * ROWS + self.offset[0]
        x = at.column * self.stride[1] + place[1] + self.offset[1]
        upper = emit.load(self.data.view, [at.image, at.block, y, x, 0], self.lanes)
        if not both:
            return upper.astype(f"{SUMS}x{self.lanes}")
        lower = emit.load(self.data.view, [at.image, at.block, y + 1, x, 0], self.lanes)
        side_by_side = [row * self.lanes + channel for channel in range(self.lanes) for row in range(ROWS)]
        pairs = emit.shuffled([upper, lower], side_by_side).astype(f"uint16x{ROWS * self.lanes}")
        return tirx.reinterpret(f"{SUMS}x{self.lanes}", pairs)
