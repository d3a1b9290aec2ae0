"""What tiles of depthwise convolutions of integers have in common: their weights, and what their sums begin with.

Behind the weights of all channels stand what the sums of each begin with: minus the zero point times the weights.
"""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from tvmopt.schedules.llvm.depthwise.depthwise_tile import DepthwiseTile
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Stmt
from tvmopt.schedules.llvm.parts.operands import Operand, Pixel
from tvmopt.schedules.llvm.parts.quads import moved_data
from tvmopt.schedules.llvm.parts.register_tile import Accumulators
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload


class IntegerTile(DepthwiseTile):
    """Writes tiles of a workload of integers; subclasses say how products are added.

    Args:
        target: whose instructions are used.
        workload: of integers.
        data: the first input.
        weight: the second, as elements of four bytes.
        lanes: elements of a vector.
    """

    def __init__(self, target: Target, workload: Workload, data: Operand, weight: Operand, lanes: int) -> None:
        super().__init__(workload, data, weight, lanes)
        self.target = target

    @staticmethod
    def elements(kernel: tuple[int, ...]) -> int:
        """How many elements of four bytes the weights of a channel take."""
        raise NotImplementedError

    @staticmethod
    def pack(weights: npt.NDArray[Any], lanes: int) -> npt.NDArray[Any]:
        """Weights C×KH×KW, C a multiple of the lanes, in the order of the tile."""
        raise NotImplementedError

    def start(self, at: Pixel, accumulators: Accumulators) -> list[Stmt]:
        """The sums begin at what the zero point adds to them."""
        if self.workload.attr("zero") == moved_data(self.target):
            return accumulators.fill(0)
        blocks = math.ceil(self.workload.output.shape[1] / self.lanes)
        place = (blocks * self.elements(self.kernel) + at.block) * self.lanes
        first = emit.load(self.weight.view, [0, 0, 0, 0, place], self.lanes)
        return [accumulators.set(p, v, first) for p, v in accumulators]

    def weights(self, block: emit.Index, number: emit.Index) -> emit.Expr:
        """A vector of a channel block's weights, four bytes for each channel."""
        place = (block * self.elements(self.kernel) + number) * self.lanes
        return emit.load(self.weight.view, [0, 0, 0, 0, place], self.lanes)
