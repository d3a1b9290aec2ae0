"""Depthwise convolution of quantised maps, uint8, with weights of int8; sums are int32 and exact.

Four neighbouring pixels of a block of channels lie side by side in memory. One shuffle puts the four of each channel
together, as one instruction multiplies them: a row of a 3×3 kernel, its fourth weight zero, takes one multiply-add.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.depthwise.depthwise import DepthwiseConv2d, DepthwiseNest
from tvmopt.schedules.llvm.depthwise.depthwise_tile import DepthwiseTile, Store
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt
from tvmopt.schedules.llvm.parts.operands import Operand, Pixel
from tvmopt.schedules.llvm.parts.quads import QUAD, SUMS, multiplies_bytes, multiply_add
from tvmopt.schedules.llvm.parts.register_tile import Accumulators
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

tirx = lazily("tvm.tirx")


class IntegerDepthwiseConv2d(DepthwiseConv2d):
    """The template; workload: data (uint8), weight (int8, constant, C×1×KH×KW), then operands of the epilogue."""

    name = "integer_depthwise_conv2d"
    version = 2

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Data and output blocked by the vector, no dilation, a halo that whole quads of pixels do not leave."""
        if workload.op != "integer_depthwise_conv2d" or not multiplies_bytes(target):
            return False
        if [x.dtype for x in workload.inputs[:2]] != [QUANTIZED, "int8"] or workload.attr("dilations") != (1, 1):
            return False
        return workload.inputs[0].block == target.lanes(FLOAT32) == workload.output.block

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """The weights, then what the sums of each channel begin with, four bytes each."""
        return {1: (_elements(workload, target.lanes(FLOAT32)) * QUAD,)}

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights C×1×KH×KW → flat ``(C/lanes, KH, KW/4, lanes, 4)``, padded with zeros; then the first sums."""
        lanes = target.lanes(FLOAT32)
        channels, _, rows, columns = array.shape
        padded = np.pad(array[:, 0], ((0, -channels % lanes), (0, 0), (0, -columns % QUAD)))
        quads = padded.reshape(-1, lanes, rows, padded.shape[2] // QUAD, QUAD).transpose(0, 2, 3, 1, 4)
        sums = padded.astype(np.int32).sum(axis=(1, 2)) * np.int32(-workload.attr("zero"))
        return np.concatenate([np.ascontiguousarray(quads).ravel(), sums.astype(np.int32).view(np.int8)])

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        elements = _elements(workload, target.lanes(FLOAT32))
        weight = Operand(Tensor((elements * QUAD,), "int8"), "weight").seen_as(Tensor((elements,), SUMS))
        return emit.keeping_sums(DepthwiseNest(workload, target, config, _Tile, weight).function())


def quads_of(columns: int) -> int:
    """How many quads of pixels a row of the kernel takes."""
    return math.ceil(columns / QUAD)


def _elements(workload: Workload, lanes: int) -> int:
    """Elements of four bytes of the packed weights, with the first sums."""
    channels, _, rows, columns = workload.inputs[1].shape
    return math.ceil(channels / lanes) * lanes * (rows * quads_of(columns) + 1)


class _Tile(DepthwiseTile):
    """Writes tiles of a workload of integers."""

    def write(self, at: Pixel, size: tuple[int, int], unroll_rows: bool, store: Store) -> Stmt:
        """The tile of `size` rows and columns that begins at output pixel `at`."""
        pixels = [(i, j) for i in range(size[0]) for j in range(size[1])]
        accumulators = Accumulators(len(pixels), 1, self.lanes, SUMS)
        quads = quads_of(self.kernel[1])

        def taps(number: Index, image: Index, row: Index) -> Stmt:
            source = at._replace(image=image)

            def add(p: int, quad: int) -> Stmt:
                place = ((at.block * self.kernel[0] + number) * quads + quad) * self.lanes
                weights = emit.load(self.weight.view, [0, 0, 0, 0, place], self.lanes)
                data = self._quad(source, pixels[p], row, quad * QUAD)
                return accumulators.set(p, 0, multiply_add(accumulators.value(p, 0), data, weights, self.lanes))

            return emit.seq(add(p, quad) for quad in range(quads) for p in range(len(pixels)))

        body = [*self._start(at, accumulators), *self.over_rows(at, unroll_rows, taps)]
        body += store([(accumulators.value(p, 0), i, j) for p, (i, j) in enumerate(pixels)])
        return accumulators.run(body)

    def _start(self, at: Pixel, accumulators: Accumulators) -> list[Stmt]:
        """The sums begin at what the zero point adds to them."""
        if not self.workload.attr("zero"):
            return accumulators.fill(0)
        blocks = math.ceil(self.workload.output.shape[1] / self.lanes)
        place = (blocks * self.kernel[0] * quads_of(self.kernel[1]) + at.block) * self.lanes
        first = emit.load(self.weight.view, [0, 0, 0, 0, place], self.lanes)
        return [accumulators.set(p, v, first) for p, v in accumulators]

    def _quad(self, at: Pixel, pixel: tuple[int, int], kh: Index, kw: int) -> emit.Expr:
        """For each channel four neighbouring pixels, from column `kw` of the window on, as int32."""
        y = (at.row + pixel[0]) * self.stride[0] + kh + self.offset[0]
        x = (at.column + pixel[1]) * self.stride[1] + kw + self.offset[1]
        together = emit.load(self.data.view, [at.image, at.block, y, x, 0], QUAD * self.lanes)
        places = [column * self.lanes + channel for channel in range(self.lanes) for column in range(QUAD)]
        return tirx.reinterpret(f"{SUMS}x{self.lanes}", emit.shuffled([together], places))
