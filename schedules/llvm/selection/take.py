"""Rows of a table by their places: all of a batch's data share the places, or each part of the batch has its own."""

from __future__ import annotations

from typing import Any

from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import declared, operands_of
from tvmopt.schedules.llvm.parts.split import rows_in_tasks
from tvmopt.schedules.llvm.selection.keys import KEYS
from tvmopt.schedules.llvm.selection.places import PLACES, load_place
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload


class Take(NoKnobs):
    """The template: data ``(batch, rows, row)``, places ``(batch or 1, count, parts)``, result ``(batch, count, row)``.

    Attribute ``sizes``: a place is an index into an array of these sizes, whose elements are the rows. Places are int32
    or int64, not negative and within the sizes: whoever makes them sees to it.
    """

    name = "take"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Data of the types that are sorted; fewer elements than indices of 32 bits can count."""
        if workload.op != self.name:
            return False
        data, places = workload.inputs
        known = data.dtype in KEYS and data.dtype == workload.output.dtype and places.dtype in PLACES
        return known and max(data.elements, places.elements, workload.output.elements) < 1 << 31

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: a task is some rows of the result."""
        (data, places), result = operands_of(workload)
        batch, rows, size = workload.inputs[0].shape
        own, count, parts = workload.inputs[1].shape
        lanes, sizes = target.lanes(workload.output.dtype), workload.attr("sizes")

        def row(number: Index) -> Stmt:
            part, at = divmod_index(number, count)
            first = (number if own > 1 else at) * parts
            place: Index = 0
            for i in range(parts):
                place = place * sizes[i] + load_place(places, first + i)
            source, facts = emit.named((part * rows + place) * size, "source")

            def some(start: Index, width: int) -> Stmt:
                value = emit.load(data.view, [0, 0, 0, 0, source + start], width)
                return emit.store(result.view, value, [0, 0, 0, 0, number * size + start], width)

            return emit.seq([*facts, emit.in_vectors(size, (4 * lanes, lanes, 1), some)])

        body = declared([data, places, result], rows_in_tasks(batch * count, size, target.threads, row))
        return emit.kernel([x.parameter for x in (data, places, result)], body, target.threads)
