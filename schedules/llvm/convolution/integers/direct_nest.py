"""The loop nest of direct convolution of quantised maps: four channels of a pixel are multiplied at once.

Data is uint8 in blocks of channels, its halo full of the zero point; weights are int8. The sums are int32 and exact.
They begin at minus the zero point times the sum of the weights, so that they are those of the data without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.convolution.direct_nest import DirectConv2dNest
from tvmopt.schedules.llvm.convolution.panel import Factors, Panel, Spans
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import LINE, Index, Stmt
from tvmopt.schedules.llvm.parts.products import multiply_add, pairs_fit
from tvmopt.schedules.llvm.parts.quads import QUAD, SUMS, moved_data
from tvmopt.schedules.llvm.parts.register_tile import Accumulators
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

tirx = lazily("tvm.tirx")


class IntegerConv2dNest(DirectConv2dNest):
    """Writes the loop nest of one workload under one config."""

    def __init__(self, workload: Workload, target: Target, config: Config, packed: tuple[int, ...]) -> None:
        super().__init__(workload, target, config, packed)
        # Four weights are one element, as four channels are in the sizes.
        self.inputs[1] = self.inputs[1].seen_as(Tensor((packed[0] // QUAD,), SUMS))
        self.fits = pairs_fit(workload)

    def function(self) -> Any:
        """The PrimFunc."""
        return emit.keeping_sums(super().function())

    def taps(self, panel: Panel, at: tuple[Index, Index], size: tuple[int, int]) -> tuple[Spans, list[Stmt]]:
        """All taps: those that read only padding read the zero point, for which the first sums account."""
        return ((0, panel.kernel[0]), (0, panel.kernel[1])), []

    def spread(self, place: list[Index]) -> emit.Expr:
        """Four channels of a pixel, in every lane of four bytes."""
        *pixel, quad = place
        four = emit.load(self.inputs[0].view, [*pixel, quad * QUAD], QUAD)
        return emit.splat(tirx.reinterpret(SUMS, four), self.lanes)

    def pixels_of_line(self) -> int:
        """A line has the quads of several pixels; a block has fewer steps than a tile has columns."""
        return max(1, LINE // self.shape.block)

    def products(self, tile: Accumulators, taps: Sequence[Factors]) -> list[Stmt]:
        """Some steps of the reduction, one after another."""
        return [
            tile.set(p, v, multiply_add(tile.value(p, v), pixel(p), weights(v), self.target, fits=self.fits))
            for pixel, weights in taps
            for p, v in tile
        ]

    def accumulators(self, pixels: int, vectors: int) -> Accumulators:
        """The sums of a tile."""
        return Accumulators(pixels, vectors, self.lanes, SUMS)

    def start(self, panel: Panel, accumulators: Accumulators) -> list[Stmt]:
        """The sums begin at what the zero point adds to them, stored behind the weights."""
        if self.workload.attr("zero") == moved_data(self.target):
            return accumulators.fill(0)
        first = self.blocks * self.shape.groups * self.lanes * self.shape.reduction
        places = [first + (self.first_block(panel) + v) * self.lanes for v in range(panel.vectors)]
        loads = [emit.load(self.inputs[1].view, [0, 0, 0, 0, place], self.lanes) for place in places]
        return [accumulators.set(p, v, loads[v]) for p, v in accumulators]
