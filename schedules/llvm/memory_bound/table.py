"""Any function of one quantised value at a time, by a table of 256 bytes; any layout, rows in whole vectors."""

from __future__ import annotations

import math
from typing import Any

from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.expression import Arg, Call, call
from tvmopt.schedules.llvm.memory_bound.pointwise import MIN_TASK_ELEMENTS
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, View, divmod_index
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.lookup import Lookup, whole_vector
from tvmopt.schedules.llvm.parts.operands import Epilogue, declared, operands_of
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

LOOKED_UP: Call = call("table", Arg(0), Arg(1))
"""The expression of its workloads."""


class Table(NoKnobs):
    """The template; workload: ``pointwise`` of the data and the table."""

    name = "table"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Quantised values; data and result of one shape in blocks of one size."""
        if workload.op != "pointwise" or workload.epilogue != LOOKED_UP or workload.dtypes != {QUANTIZED}:
            return False
        data, result = workload.inputs[0], workload.output
        return (data.shape, data.block) == (result.shape, result.block)

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        inputs, result = operands_of(workload)
        lanes = whole_vector(target)
        table = Lookup(inputs[1].view, target)
        data, made = workload.inputs[0], workload.output
        source, stored = (View.of(x.parameter, (math.prod(x.tensor.physical_shape),)) for x in (inputs[0], result))

        def some(start: Index, place: Index, size: int) -> Stmt:
            def vector(first: Index, width: int) -> Stmt:
                value = table.of(emit.load(source, [start + first], width), width)
                return emit.store(stored, value, [place + first], width)

            widths = [width for width in (lanes, made.block) if width <= lanes]
            return emit.in_vectors(size, (*sorted(widths, reverse=True), 1), vector)

        if not any((*data.halo, *made.halo)):
            cut = Cut.of(math.prod(made.physical_shape), MIN_TASK_ELEMENTS)
            loops = emit.parallel(
                cut.pieces, lambda index: cut.piece(index, lambda start, size: some(start, start, size))
            )
            body = emit.seq([source.declare(), stored.declare(), inputs[1].declare(), loops])
            return emit.kernel([x.parameter for x in (*inputs, result)], body, target.threads)
        n, channels, height, width = made.shape
        blocks, epilogue = math.ceil(channels / made.block), Epilogue(workload, inputs, result)

        def task(index: Index) -> Stmt:
            image, rest = divmod_index(index, blocks * height)
            block, row = divmod_index(rest, height)
            first, second = (_row(x, image * blocks + block, row) for x in (data, made))
            return emit.seq([*epilogue.zero_halo(image, block, row, 1), some(first, second, width * made.block)])

        loops = emit.parallel(n * blocks * height, task)
        body = declared([*inputs, result], emit.seq([source.declare(), stored.declare(), loops]))
        return emit.kernel([x.parameter for x in (*inputs, result)], body, target.threads)


def _row(tensor: Tensor, plane: Index, row: Index) -> Index:
    """Where a row begins, in elements; `plane` counts blocks of channels."""
    return ((plane * tensor.physical_shape[2] + row + tensor.halo[0]) * tensor.physical_shape[3] + tensor.halo[1]) * (
        tensor.block
    )
