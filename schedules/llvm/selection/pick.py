"""Elements along an axis by their places, each row by its own."""

from __future__ import annotations

from typing import Any

from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import declared, operands_of
from tvmopt.schedules.llvm.parts.split import rows_in_tasks
from tvmopt.schedules.llvm.selection.places import PLACES, load_place
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload


class Pick(NoKnobs):
    """The template: data ``(outer, axis, inner)``, places ``(outer, count, inner)``, result like the places.

    Places are int32 or int64 and within the axis: whoever makes them sees to it.
    """

    name = "pick"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Any type of data; fewer elements than indices of 32 bits can count."""
        if workload.op != self.name:
            return False
        data, places = workload.inputs
        known = data.dtype == workload.output.dtype and places.dtype in PLACES
        return known and max(data.elements, places.elements) < 1 << 31

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: a task is some outer indices."""
        (data, places), result = operands_of(workload)
        outer, axis, inner = workload.inputs[0].shape
        count = workload.output.shape[1]

        def row(line: Index) -> Stmt:
            def element(e: Index, column: Index) -> Stmt:
                at = (line * count + e) * inner + column
                place = line * axis + load_place(places, at)
                value = emit.load(data.view, [0, 0, 0, 0, place * inner + column])
                return emit.store(result.view, value, [0, 0, 0, 0, at])

            return emit.nest((count, inner), element)

        body = declared([data, places, result], rows_in_tasks(outer, count * inner, target.threads, row))
        return emit.kernel([x.parameter for x in (data, places, result)], body, target.threads)
