"""Depthwise convolution over volumes: over images, with the planes of the window as further rows of the kernel.

The planes of a volume are images. A tile belongs to one plane of the output and stays in registers while the reduction
runs over all planes of its window; planes of padding are skipped.
"""

from __future__ import annotations

import math
from typing import Any

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.depthwise.depthwise import DepthwiseConv2d, DepthwiseNest
from tvmopt.schedules.llvm.depthwise.depthwise_tile import DepthwiseTile, Row
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt
from tvmopt.schedules.llvm.parts.operands import Pixel
from tvmopt.schedules.llvm.parts.planes import planes_read, window_planes
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload


class DepthwiseConv3d(DepthwiseConv2d):
    """The template; workload: data, weight (constant, ``(C, 1, KD·KH, KW)``), then operands of the epilogue.

    Data and output are planes, ``(N·D, C, H, W)``. The attributes are those of a convolution over volumes.
    """

    name = "depthwise_conv3d"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32, a kernel for each channel, data and output blocked by the vector."""
        if workload.op != "conv3d" or workload.dtypes != {FLOAT32}:
            return False
        groups = workload.attr("groups")
        if not groups == workload.inputs[0].shape[1] == workload.output.shape[1] > 1:
            return False
        return workload.inputs[0].block == target.lanes(FLOAT32) == workload.output.block

    def flops(self, workload: Workload) -> int:
        """Floating-point operations, a multiply-add as two; planes of padding are not multiplied."""
        taps = math.prod(workload.inputs[1].shape[2:]) // workload.attr("depth")[0]
        return int(2 * workload.output.elements // workload.output.shape[0] * taps * planes_read(workload))

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """As over images, without prefetching: the next plane is far from the last row of this one."""
        whole = super().space(workload, target)
        knobs = tuple(Knob(knob.name, (0,)) if knob.name == "data_ahead" else knob for knob in whole.knobs)
        return ConfigSpace(knobs, whole.allowed, whole.leading)

    def _data_ahead(self, workload: Workload, target: Target) -> bool:
        return False

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        return DepthwiseNest(workload, target, config, VolumeTile).function()


class VolumeTile(DepthwiseTile):
    """Writes tiles of one plane of the output."""

    def over_rows(self, at: Pixel, unroll: bool, taps: Row) -> list[Stmt]:
        """The rows of the planes that the window has inside the volume."""
        planes = window_planes(self.workload, at.image)
        first, then = emit.named(planes.first, "plane")
        count, last = emit.named(planes.count, "planes")
        rows = self.kernel[0] // self.workload.attr("depth")[0]

        def row(number: Index, kh: Index) -> Stmt:
            return taps((first + number) * rows + kh, planes.image(first + number), kh)

        def plane(number: Index) -> Stmt:
            if unroll:
                return emit.seq(row(number, kh) for kh in range(rows))
            return emit.loop(rows, lambda kh: row(number, kh), "kh")

        return [*then, *last, emit.loop(count, plane, "kd")]
