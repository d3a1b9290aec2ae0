"""The places of what is true in a mask, in their order."""

from __future__ import annotations

from typing import Any

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import declared, operands_of
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

_BLOCK = 64
"""Elements that are looked at together: most masks have few that are true."""


class Find(NoKnobs):
    """The template: a mask ``(count)`` of booleans, result ``(count)`` in int64: places, and zeros behind the last."""

    name = "find"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """A mask of fewer elements than indices of 32 bits can count."""
        if workload.op != self.name or workload.output.dtype != "int64":
            return False
        (mask,) = workload.inputs
        return mask.dtype == "bool" and mask.plain and len(mask.shape) == 1 and mask.elements < 1 << 31

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc, of one task: each place depends on all before it."""
        (mask,), result = operands_of(workload)
        count, lanes = workload.inputs[0].elements, target.lanes("int64")
        number = emit.local(1, "number", "int32")
        held = emit.load(number, [0])

        def clear(first: Index, width: int) -> Stmt:
            zero = emit.splat(emit.const(0, "int64"), width)
            return emit.store(result.view, zero, [0, 0, 0, 0, first], width)

        def look(first: Index, size: int) -> Stmt:
            def element(e: Index) -> Stmt:
                place = tirx.convert(first + e)
                stores = [
                    emit.store(result.view, place.astype("int64"), [0, 0, 0, 0, held]),
                    emit.store(number, held + 1, [0]),
                ]
                return tirx.IfThenElse(emit.load(mask.view, [0, 0, 0, 0, place]), emit.seq(stores), None)

            return emit.loop(size, element)

        body = [
            emit.in_vectors(count, (4 * lanes, 1), clear),
            emit.store(number, emit.const(0, "int32"), [0]),
            emit.split_loop(count, _BLOCK, look),
        ]
        return emit.kernel(
            [mask.parameter, result.parameter], declared([mask, result], emit.allocate([number], body)), target.threads
        )
