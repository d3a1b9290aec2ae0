"""Elements along an axis by their places, each row by its own."""

from __future__ import annotations

import math
from typing import Any

from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import declared, operands_of
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

TASK_ELEMENTS = 4096


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
        known = data.dtype == workload.output.dtype and places.dtype in ("int32", "int64")
        return known and max(data.elements, places.elements) < 1 << 31

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: a task is some outer indices."""
        (data, places), result = operands_of(workload)
        outer, axis, inner = workload.inputs[0].shape
        count = workload.output.shape[1]
        together = min(math.ceil(outer / target.threads), max(1, TASK_ELEMENTS // (count * inner)))

        def row(line: Index) -> Stmt:
            def element(e: Index, column: Index) -> Stmt:
                at = (line * count + e) * inner + column
                place = emit.load(places.view, [0, 0, 0, 0, at])
                place = place if places.tensor.dtype == "int32" else place.astype("int32")
                value = emit.load(data.view, [0, 0, 0, 0, (line * axis + place) * inner + column])
                return emit.store(result.view, value, [0, 0, 0, 0, at])

            return emit.nest((count, inner), element)

        def task(index: Index) -> Stmt:
            def rows(size: int) -> Stmt:
                return emit.loop(size, lambda i: row(index * together + i))

            whole, rest = divmod(outer, together)
            return emit.choose(index, whole, rest != 0, lambda last: rows(rest if last else together))

        body = declared([data, places, result], emit.parallel(math.ceil(outer / together), task))
        return emit.kernel([x.parameter for x in (data, places, result)], body, target.threads)
