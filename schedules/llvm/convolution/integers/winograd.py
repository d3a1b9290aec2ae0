"""Convolution of quantised maps by Winograd's minimal filtering, with integers of 16 bits: exact.

The template differs from the one for float32 in its matrices and its step (`winograd_nest`). A step multiplies half as
many numbers as one of bytes; tiles of four save three of four products, tiles of two more than half of them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.compute.integers import NARROW, largest_sum
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.convolution.integers.winograd_nest import IntegerWinogradNest
from tvmopt.schedules.llvm.convolution.integers.winograd_plan import NARROW_TILE, integer_plan_of, integer_tiles_of
from tvmopt.schedules.llvm.convolution.winograd import Winograd
from tvmopt.schedules.llvm.convolution.winograd_plan import Plan
from tvmopt.schedules.llvm.parts.pairs import PAIR, SHORT, multiplies_pairs
from tvmopt.schedules.llvm.parts.quads import QUAD, SUMS
from tvmopt.schedules.llvm.parts.register_tile import channel_panels
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload


class IntegerWinograd(Winograd):
    """The algorithm; workload: data (uint8), weight (int8, constant, OIHW), then operands of the epilogue."""

    name = "integer winograd"
    spreads_nan = False

    def __init__(self) -> None:
        super().__init__("integer_conv2d")

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Windows of 3×3 without stride, dilation or groups; data and output blocked by the vector."""
        if workload.op != self.op or [x.dtype for x in workload.inputs[:2]] != [QUANTIZED, "int8"]:
            return False
        lanes = target.lanes(FLOAT32)
        if not multiplies_pairs(target) or workload.inputs[0].block != lanes or workload.output.block != lanes:
            return False
        return bool(self.tiles(workload))

    def tiles(self, workload: Workload) -> tuple[int, ...]:
        """The output tiles whose results are exact."""
        return integer_tiles_of(workload)

    def plan(self, workload: Workload, tile: int) -> Plan:
        """The plan for one of `tiles`."""
        return integer_plan_of(workload, tile)

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """The weights, two as one element, then what is added to the sums of each output channel; as bytes."""
        plan, lanes = self.plan(workload, config["tile"]), target.lanes(FLOAT32)
        channels = math.ceil(workload.output.shape[1] / lanes) * lanes
        return {1: (QUAD * channels * (plan.depth * plan.points + 1),)}

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights → transformed, flat ``(channel tile, point, IC/2, vectors × lanes, 2)``; then minus the zero point's.

        Raises:
            ValueError: when sums that the workload says are narrow are not.
        """
        if config["tile"] == NARROW_TILE and largest_sum(array) >= NARROW:
            raise ValueError(f"sums of {workload.key} may be {largest_sum(array)}, which is not below {NARROW}")
        lanes = target.lanes(FLOAT32)
        moved = self.plan(workload, config["tile"]).transformed(array).astype(SHORT)
        padded = np.pad(moved, ((0, 0), (0, -moved.shape[1] % PAIR), (0, 0)))
        pairs = padded.reshape(len(moved), -1, PAIR, moved.shape[2]).swapaxes(2, 3)
        elements = np.ascontiguousarray(pairs).view(SUMS)[..., 0]
        sums = array.astype(np.int32).sum(axis=(1, 2, 3)) * np.int32(-workload.attr("zero"))
        first = np.pad(sums.astype(SUMS), (0, -len(sums) % lanes))
        return np.concatenate([channel_panels(elements, config["vectors"], lanes), first]).view(np.int8)

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        plan = integer_plan_of(workload, config["tile"])
        return IntegerWinogradNest(workload, plan, target, config, self.packed(workload, target, config)[1]).function()
