"""Depthwise convolution of integers by products of four bytes: four pixels of a row at a time.

Four neighbouring pixels of a block of channels lie side by side in memory. One shuffle puts the four of each channel
together, as one instruction multiplies them: a row of a 3×3 kernel, its fourth weight zero, takes one multiply-add.
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
from tvmopt.schedules.llvm.parts.products import multiply_add
from tvmopt.schedules.llvm.parts.quads import QUAD, SUMS
from tvmopt.schedules.llvm.parts.register_tile import Accumulators

tirx = lazily("tvm.tirx")


def quads_of(columns: int) -> int:
    """How many quads of pixels a row of the kernel takes."""
    return math.ceil(columns / QUAD)


class QuadsTile(IntegerTile):
    """Writes tiles of a workload of integers."""

    @staticmethod
    def elements(kernel: tuple[int, ...]) -> int:
        """Four bytes of weights for each quad of a row."""
        return kernel[0] * quads_of(kernel[1])

    @staticmethod
    def pack(weights: npt.NDArray[Any], lanes: int) -> npt.NDArray[Any]:
        """Weights C×KH×KW → ``(C/lanes, KH, KW/4, lanes, 4)``, padded with zeros."""
        padded = np.pad(weights, ((0, 0), (0, 0), (0, -weights.shape[2] % QUAD)))
        quads = padded.reshape(-1, lanes, padded.shape[1], padded.shape[2] // QUAD, QUAD)
        return np.ascontiguousarray(quads.transpose(0, 2, 3, 1, 4))

    def write(self, at: Pixel, size: tuple[int, int], unroll_rows: bool, store: Store) -> Stmt:
        """The tile of `size` rows and columns that begins at output pixel `at`."""
        pixels = [(i, j) for i in range(size[0]) for j in range(size[1])]
        accumulators = Accumulators(len(pixels), 1, self.lanes, SUMS)
        quads = quads_of(self.kernel[1])

        def taps(number: Index, image: Index, row: Index) -> Stmt:
            source = at._replace(image=image)

            def add(p: int, quad: int) -> Stmt:
                weights = self.weights(at.block, number * quads + quad)
                data = self._quad(source, pixels[p], row, quad * QUAD)
                sums = multiply_add(accumulators.value(p, 0), data, weights, self.target, fits=False)
                return accumulators.set(p, 0, sums)

            return emit.seq(add(p, quad) for quad in range(quads) for p in range(len(pixels)))

        body = [*self.start(at, accumulators), *self.over_rows(at, unroll_rows, taps)]
        body += store([(accumulators.value(p, 0), i, j) for p, (i, j) in enumerate(pixels)])
        return accumulators.run(body)

    def _quad(self, at: Pixel, pixel: tuple[int, int], kh: Index, kw: int) -> emit.Expr:
        """For each channel four neighbouring pixels, from column `kw` of the window on, as int32."""
        y = (at.row + pixel[0]) * self.stride[0] + kh + self.offset[0]
        x = (at.column + pixel[1]) * self.stride[1] + kw + self.offset[1]
        together = emit.load(self.data.view, [at.image, at.block, y, x, 0], QUAD * self.lanes)
        places = [column * self.lanes + channel for channel in range(self.lanes) for column in range(QUAD)]
        return tirx.reinterpret(f"{SUMS}x{self.lanes}", emit.shuffled([together], places))
