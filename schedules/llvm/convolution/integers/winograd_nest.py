"""The loop nest of Winograd's convolution of quantised maps, with integers of 16 bits.

Two neighbouring channels are one element of a patch, and of the packed weights, as four are of direct convolution: the
nest is that for float32, with half as many channels. Transformed bytes fit 16 bits, and so do weights that are
transformed by matrices of integers. Products are summed modulo 2³²; so is what the last transforms make of them, an odd
number times a power of two times the convolution. The odd number has an inverse modulo 2³², and the power is shifted
out: if that multiple fits 32 bits, the result is exact, whatever wrapped before.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from tvmopt.schedules.compute.typed import TypedMath
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.convolution.integers.winograd_plan import IntegerPlan
from tvmopt.schedules.llvm.convolution.linear_maps import Line
from tvmopt.schedules.llvm.convolution.winograd_nest import WinogradNest
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt
from tvmopt.schedules.llvm.parts.operands import Pixel
from tvmopt.schedules.llvm.parts.pairs import PAIR, SHORT, multiply_add_pairs
from tvmopt.schedules.llvm.parts.quads import QUAD, SUMS
from tvmopt.schedules.llvm.parts.register_tile import Accumulators
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

tirx = lazily("tvm.tirx")


class IntegerWinogradNest(WinogradNest):
    """Writes the loop nest of one workload under one config."""

    element = SUMS
    plan: IntegerPlan

    def __init__(
        self, workload: Workload, plan: IntegerPlan, target: Target, config: Config, packed: tuple[int, ...]
    ) -> None:
        super().__init__(workload, plan, target, config, packed)
        # Two weights are one element, as two channels are of a patch.
        self.inputs[1] = self.inputs[1].seen_as(Tensor((packed[0] // QUAD,), SUMS))

    def function(self) -> Any:
        """The PrimFunc."""
        return emit.keeping_sums(super().function())

    def lines(self) -> tuple[Line, Line]:
        """Pairs of data, and sums."""
        return Line(PAIR * self.lanes, SHORT), Line(self.lanes, SUMS)

    def patch(self, pixel: Pixel) -> emit.Expr:
        """Two blocks of channels; of an odd number, the last twice: the second half is not read again."""
        data, first = self.inputs[0].view, pixel.block * PAIR
        odd = data.shape[1] % PAIR
        blocks = [first, emit.least(first + 1, data.shape[1] - 1) if odd else first + 1]
        parts = [emit.load(data, [*pixel._replace(block=block), 0], self.lanes) for block in blocks]
        return emit.joined(parts, self.lanes).astype(f"{SHORT}x{PAIR * self.lanes}")

    def stored(self, line: emit.Expr) -> emit.Expr:
        """Pairs as elements."""
        return tirx.reinterpret(f"{SUMS}x{self.lanes}", line)

    def loaded(self, elements: emit.Expr) -> emit.Expr:
        """Elements as pairs."""
        return tirx.reinterpret(f"{SHORT}x{PAIR * self.lanes}", elements)

    def products(
        self, tile: Accumulators, pixel: Callable[[int], emit.Expr], weights: Callable[[int], emit.Expr]
    ) -> list[Stmt]:
        """A step of the reduction."""
        return [
            tile.set(p, v, multiply_add_pairs(tile.value(p, v), pixel(p), weights(v), self.target)) for p, v in tile
        ]

    def output(self, value: emit.Expr, block: Index, column: int) -> emit.Expr:
        """The convolution itself, less what the zero point adds to it, which is stored behind the weights."""
        math, (inverse, shift) = TypedMath(self.lanes), self.plan.inverses[column]
        exact = math.wrapped(value, math.number(inverse, SUMS), operator.mul)
        if shift:
            exact = tirx.shift_right(exact, math.number(shift, SUMS))
        if not self.workload.attr("zero"):
            return exact
        first = self.blocks * self.lanes * self.plan.points * self.plan.depth
        return exact + emit.load(self.inputs[1].view, [0, 0, 0, 0, first + block * self.lanes], self.lanes)
