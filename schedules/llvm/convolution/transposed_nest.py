"""The loop nest of a transposed convolution: each phase is a direct convolution whose results lie apart in the output.

A phase (`schedules.compute.phases`) counts as a group, with its own taps and its own place among the output's rows and
columns. Nothing is spread out by zeros, and no phase is stored before it is shuffled: each result is written once, to
its place, after the epilogue.
"""

from __future__ import annotations

from typing import Any

from tvmopt.schedules.llvm.convolution.direct_nest import DirectConv2dNest
from tvmopt.schedules.llvm.convolution.panel import Panel, Spans
from tvmopt.schedules.llvm.convolution.shape import phases_by_axis
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.operands import Pixel
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload


class TransposedConv2dNest(DirectConv2dNest):
    """Writes the loop nest of one workload under one config; groups are numbered phase by phase."""

    def __init__(self, workload: Workload, target: Target, config: Config, packed: tuple[int, ...]) -> None:
        super().__init__(workload, target, config, packed)
        self.phases = phases_by_axis(workload)
        self.groups = workload.attr("groups")
        self.strides = workload.attr("strides")

    def window(self, group: Index) -> tuple[tuple[Index, Index], tuple[Index, Index], list[Stmt]]:
        """The phase's taps, and the first data that they meet."""
        halo, facts = self.workload.inputs[0].halo, []
        kernel: list[Index] = []
        offset: list[Index] = []
        for axis, place in enumerate(self._phase(group)):
            each = self.phases[axis].each
            count, first = emit.named(emit.entry([len(phase.taps) for phase in each], place), f"taps{axis}")
            shift, then = emit.named(emit.entry([phase.shift + halo[axis] for phase in each], place), f"shift{axis}")
            kernel.append(count)
            offset.append(shift)
            facts += [*first, *then]
        return (kernel[0], kernel[1]), (offset[0], offset[1]), facts

    def data_block(self, panel: Panel) -> Index:
        """The first of the data's channel blocks that the panel's group reads, in any phase."""
        return divmod_index(panel.group, self.groups)[1] * (self.shape.group_in // self.shape.block)

    def first_block(self, panel: Panel) -> Index:
        """The output's channel block that the panel begins with, in any phase."""
        return divmod_index(panel.group, self.groups)[1] * self.blocks + panel.tile * self.config["vectors"]

    def place(self, panel: Panel, vector: int, row: Index, column: Index) -> Pixel:
        """A phase's rows and columns are as far apart as there are phases."""
        rest = self._phase(panel.group)
        at = (row * self.strides[0] + rest[0], column * self.strides[1] + rest[1])
        return Pixel(panel.image, self.first_block(panel) + vector, *at)

    def taps(self, panel: Panel, at: tuple[Index, Index], size: tuple[int, int]) -> tuple[Spans, list[Stmt]]:
        """All taps of the phase."""
        return ((0, panel.kernel[0]), (0, panel.kernel[1])), []

    def store(self, results: list[tuple[Any, Pixel]], size: tuple[int, int]) -> list[Stmt]:
        """Stores the results, except those behind the output's end: not all phases need be of one size."""
        _, _, rows, columns = self.workload.output.shape
        if all(extent % stride == 0 for extent, stride in zip((rows, columns), self.strides, strict=True)):
            return self.epilogue.store_all(results, self.lanes)
        return [self._store_within(value, at, (rows, columns)) for value, at in results]

    def _store_within(self, value: Any, at: Pixel, size: tuple[int, int]) -> Stmt:
        body = emit.seq(self.epilogue.store_all([(value, at)], self.lanes))
        return emit.when_below(at.row, size[0], emit.when_below(at.column, size[1], body))

    def border(self, panel: Panel, first: Index, rows: int, columns: tuple[Index, int] | None = None) -> list[Stmt]:
        """All zeros around the map, written by the first task of the first phase."""
        blocks = [self.first_block(panel) + v for v in range(panel.vectors)]
        height = self.workload.output.shape[2]
        zeros = [part for block in blocks for part in self.epilogue.zero_halo(panel.image, block, 0, height)]
        start = first if columns is None else columns[0]
        if not zeros:
            return []
        return [emit.when_below(panel.group, self.groups, emit.when_below(start, 1, emit.seq(zeros)))]

    def _phase(self, group: Index) -> tuple[Index, Index]:
        """The phase along rows and along columns."""
        return divmod_index(divmod_index(group, self.groups)[0], self.strides[1])
