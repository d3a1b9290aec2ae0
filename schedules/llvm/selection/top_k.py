"""The best elements along an axis, best first: all of them are the axis sorted."""

from __future__ import annotations

from typing import Any

from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import declared
from tvmopt.schedules.llvm.selection import columns
from tvmopt.schedules.llvm.selection.keys import KEYS
from tvmopt.schedules.llvm.selection.radix import RadixSort
from tvmopt.schedules.llvm.selection.rows import Rows
from tvmopt.schedules.llvm.selection.short_list import ShortList
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

SHORT = 128
"""Up to this many elements, moving a sorted list along costs less than sorting by radix."""


class TopK(NoKnobs):
    """The template: data ``(outer, axis, inner)``, result ``(outer, count, inner)``, places along the axis in int64.

    Attribute ``largest``: whether the largest elements are wanted, else the smallest. Of equal ones the first comes
    first; NaN counts as larger than any number.
    """

    name = "top_k"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Elements of a type that has keys; fewer than indices of 32 bits can count."""
        if workload.op != self.name or workload.output.dtype != "int64":
            return False
        data = workload.inputs[0]
        return data.dtype in KEYS and data.plain and data.elements < 1 << 31

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        rows = Rows.of(workload, target)
        outer, _, inner = workload.inputs[0].shape
        if rows.count <= columns.MOST and inner >= rows.lanes:
            body = columns.Columns(rows).tasks(outer)
        else:
            body = self._rows(rows, outer)
        return emit.kernel(
            [rows.data.parameter, rows.result.parameter], declared([rows.data, rows.result], body), target.threads
        )

    def _rows(self, rows: Rows, outer: int) -> Stmt:
        """A task for each row."""
        axis, inner = rows.axis, rows.inner

        def task(index: Index) -> Stmt:
            line, column = divmod_index(index, inner)
            way = ShortList(rows) if rows.count <= SHORT else RadixSort(rows)
            return way.select(line * (axis * inner) + column, line * (rows.count * inner) + column)

        return emit.parallel(outer * inner, task)
