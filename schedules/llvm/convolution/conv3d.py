"""Convolution over volumes: direct convolution over planes, with the planes of the window as further kernel rows.

The planes of a volume are images. A tile belongs to one plane of the output and stays in registers while the reduction
runs over all planes of its window; planes of padding are skipped, not multiplied.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.convolution.direct import DirectConv2d
from tvmopt.schedules.llvm.convolution.direct_nest import DirectConv2dNest
from tvmopt.schedules.llvm.convolution.panel import Panel, Spans
from tvmopt.schedules.llvm.convolution.shape import shape_of
from tvmopt.schedules.llvm.convolution.winograd import Winograd
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.planes import planes_read, window_planes
from tvmopt.schedules.llvm.parts.task_order import WHOLE, band_length
from tvmopt.schedules.race import Race
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload


class DirectConv3d(DirectConv2d):
    """The algorithm that takes every shape; workload as for `Conv3d`."""

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32, output blocked by the vector, groups that fill whole blocks."""
        if workload.op != "conv3d" or workload.dtypes != {FLOAT32}:
            return False
        lanes = target.lanes(FLOAT32)
        if workload.output.block != lanes:
            return False
        shape = shape_of(workload)
        aligned = shape.out_channels // shape.groups % lanes == 0 and shape.group_in % shape.block == 0
        return shape.groups == 1 or aligned

    def default(self, workload: Workload, target: Target) -> Config:
        """As over images, but rows are not shared among tasks in bands that leave a rest.

        On AVX-512, 14 rows in bands of 4 took twice as long as in one: 576 → 256 channels, windows of 3 × 1 × 1.
        """
        found = super().default(workload, target)
        units = self._units(shape_of(workload), found)
        rest = units % band_length(found["band"], units, target.threads)
        return {**found, "band": WHOLE} if rest else found

    def _tile_bytes(self, workload: Workload, config: Config) -> int:
        """In each plane of a window the window of an image."""
        shape, planes = shape_of(workload), workload.attr("depth")[0]
        rows = (config["rows"] - 1) * shape.stride[0] + 1 + (shape.kernel[0] // planes - 1) * shape.dilation[0]
        columns = (config["columns"] - 1) * shape.stride[1] + 1 + (shape.kernel[1] - 1) * shape.dilation[1]
        return int(planes * rows * columns * shape.group_in * 4)

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        return Conv3dNest(workload, target, config, self.packed(workload, target, config)[1]).function()

    def flops(self, workload: Workload) -> int:
        """Floating-point operations, a multiply-add as two; planes of padding are not multiplied."""
        weight, output = workload.inputs[1].shape, workload.output
        pixels = output.elements // output.shape[0]
        return int(2 * pixels * math.prod(weight[1:]) // workload.attr("depth")[0] * planes_read(workload))


class Conv3d(Race):
    """The template; workload: data, weight (constant), then operands of the epilogue.

    Data and output are planes, ``(N·D, C, H, W)``; the weight is ``(O, I, KD·KH, KW)``. The attributes are a
    convolution's and ``depth`` (`schedules.llvm.parts.planes`).
    """

    name = "conv3d"
    version = 3
    algorithms = (DirectConv3d(), Winograd("conv3d"))


class Conv3dNest(DirectConv2dNest):
    """Writes the loop nest of one workload under one config."""

    def taps(self, panel: Panel, at: tuple[Index, Index], size: tuple[int, int]) -> tuple[Spans, list[Stmt]]:
        """The kernel rows of the planes that the window has inside the volume."""
        inside = window_planes(self.workload, panel.image)
        first, then = emit.named(inside.first, "plane")
        count, last = emit.named(inside.count, "planes")
        return ((first * self.rows, count * self.rows), (0, panel.kernel[1])), [*then, *last]

    def over_taps(self, spans: Spans, body: Callable[[Index, Index], Stmt]) -> Stmt:
        """A loop over planes around those over a plane's taps: so rows and planes are known without a division."""
        planes = divmod_index(spans[0][1], self.rows)[0]
        columns = spans[1][1]
        return emit.nest((planes, self.rows, columns), lambda k, i, j: body(k * self.rows + i, j), "k")

    @property
    def rows(self) -> int:
        """Rows of the window in one plane."""
        return int(self.shape.kernel[0] // self.workload.attr("depth")[0])

    def source(self, panel: Panel, row: Index) -> tuple[Index, Index]:
        """The plane that a kernel row reads, and its row within the plane of the window."""
        plane, row = divmod_index(row, self.rows)
        return window_planes(self.workload, panel.image).image(plane), row
