"""Transposed convolution, with any stride and dilation, dense or grouped.

The direct algorithm is a convolution for each phase; Winograd's computes tiles of all phases at once.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.convolution.direct import PREFETCH, DirectConv2d, group_blocks
from tvmopt.schedules.llvm.convolution.shape import Shape, phases_by_axis, shape_of
from tvmopt.schedules.llvm.convolution.transposed_nest import TransposedConv2dNest
from tvmopt.schedules.llvm.convolution.winograd import Winograd
from tvmopt.schedules.llvm.parts.emit import SPREAD
from tvmopt.schedules.race import Race
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload


class DirectTransposed(DirectConv2d):
    """The algorithm that takes every shape; workload as for `TransposedConv2d`."""

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32, data and output blocked by the vector, groups that fill whole blocks."""
        lanes = target.lanes(FLOAT32)
        if workload.op != "transposed_conv2d" or workload.dtypes != {FLOAT32}:
            return False
        if workload.inputs[0].block != lanes or workload.output.block != lanes:
            return False
        groups = workload.attr("groups")
        aligned = workload.output.shape[1] // groups % lanes == 0 and workload.inputs[1].shape[1] % lanes == 0
        return groups == 1 or aligned

    def flops(self, workload: Workload) -> int:
        """Floating-point operations, a multiply-add as two: each element of the data meets all taps."""
        weight = workload.inputs[1].shape
        return int(2 * workload.inputs[0].elements * weight[0] // workload.attr("groups") * math.prod(weight[2:]))

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """As for direct convolution; where panels of weights differ in length, none can be prefetched evenly."""
        whole = super().space(workload, target)
        far = tuple(distance for distance in PREFETCH if distance != SPREAD or _even(workload))
        knobs = tuple(Knob(knob.name, far) if knob.name == "prefetch" else knob for knob in whole.knobs)
        return ConfigSpace(knobs, whole.allowed, whole.leading)

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles of the whole layer on one core; not all phases have as many taps as one may have."""
        axes = phases_by_axis(workload)
        full = math.prod(len(axis.each) * axis.most for axis in axes)
        taps = math.prod(sum(len(phase.taps) for phase in axis.each) for axis in axes)
        return super().cycles(workload, target, config) * taps / full

    def _depths(self, shape: Shape, target: Target, workload: Workload) -> tuple[int, ...]:
        """Chunks as over images, if the reduction is as long in all phases, and the phases are of one size."""
        sizes = zip(workload.output.shape[2:], workload.attr("strides"), strict=True)
        if not _even(workload) or any(extent % stride for extent, stride in sizes):
            return (0,)
        return super()._depths(shape, target, workload)

    def _prefetch(self, workload: Workload, target: Target) -> int:
        """Evenly where possible, else far ahead; not at all if the weights stay in cache."""
        if not super()._prefetch(workload, target):
            return 0
        return SPREAD if _even(workload) else PREFETCH[-1]

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights OIHW → flat ``(phase, group, tile, IC/b, taps, b, vectors × lanes)``; absent channels are zeros."""
        shape, groups = shape_of(workload), workload.attr("groups")
        rows, columns = phases_by_axis(workload)
        parts = []
        for row, column in itertools.product(rows.each, columns.each):
            taken = array[:, :, list(row.taps)][..., list(column.taps)]
            for group in np.split(taken, groups):
                parts += _panels(group, shape, target, config["vectors"])
        return np.concatenate(parts)

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        return TransposedConv2dNest(workload, target, config, self.packed(workload, target, config)[1]).function()


class TransposedConv2d(Race):
    """The template; workload: data, weight (constant, OIHW), then operands of the epilogue.

    The attributes are a convolution's; `pads` are what is cut off the whole result at the top and left. The output's
    shape says where it ends.
    """

    name = "transposed_conv2d"
    version = 2
    algorithms = (DirectTransposed(), Winograd("transposed_conv2d"))


def _even(workload: Workload) -> bool:
    """Whether all phases have the same number of taps."""
    return all(len({len(phase.taps) for phase in axis.each}) == 1 for axis in phases_by_axis(workload))


def _panels(group: npt.NDArray[Any], shape: Shape, target: Target, vectors: int) -> list[npt.NDArray[Any]]:
    """The tiles of one group in one phase, each filled up with zeros to the room for `shape.kernel`."""
    lanes, block = target.lanes(FLOAT32), shape.block
    padded = np.zeros((group_blocks(shape, target) * lanes, *group.shape[1:]), group.dtype)
    padded[: len(group)] = group
    tiles = []
    for first in range(0, len(padded), vectors * lanes):
        tile = padded[first : first + vectors * lanes]
        packed = [tile[:, at : at + block].transpose(2, 3, 1, 0).ravel() for at in range(0, shape.group_in, block)]
        room = np.zeros(len(tile) * shape.reduction, group.dtype)
        flat = np.concatenate(packed)
        room[: len(flat)] = flat
        tiles.append(room)
    return tiles
