"""Concatenation: of maps along the channels, and of rows."""

from __future__ import annotations

import itertools
import math
from typing import Any

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.memory_bound.copied import MOVED
from tvmopt.schedules.llvm.memory_bound.pointwise import MIN_TASK_ELEMENTS
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import Epilogue, Operand, Pixel, declared, operands_of
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")


class PlainConcat(NoKnobs):
    """Concatenates rows: tensors in row-major order, seen as (rows, elements of a row)."""

    name = "concat_rows"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """One of the types that are copied; plain tensors of rank 2."""
        tensors = (*workload.inputs, workload.output)
        plain = all(len(tensor.shape) == 2 for tensor in tensors)
        return workload.op == "concat" and plain and len(workload.dtypes) == 1 and workload.output.dtype in MOVED

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        inputs, result = operands_of(workload)
        rows, width = workload.output.shape
        lanes = target.lanes(workload.output.dtype)
        threads = target.threads if workload.output.elements >= 2 * MIN_TASK_ELEMENTS else 1
        firsts = list(itertools.accumulate((x.tensor.shape[1] for x in inputs), initial=0))

        def part(operand: Operand, row: Index, start: Index, size: int, first: int) -> Stmt:
            """Copies `size` elements of an operand's row from `start` on; the row begins at `first` in the result's."""
            source, place = row * operand.tensor.shape[1] + start, row * width + first + start

            def some(i: Index, count: int) -> Stmt:
                value = emit.load(operand.view, [0, 0, 0, 0, source + i], count)
                return emit.store(result.view, value, [0, 0, 0, 0, place + i], count)

            return emit.in_vectors(size, (4 * lanes, lanes, 1), some)

        def whole_row(row: Index) -> Stmt:
            return emit.seq(part(x, row, 0, x.tensor.shape[1], first) for x, first in zip(inputs, firsts, strict=False))

        def pieces(operand: Operand, first: int) -> Stmt:
            cut = Cut.of(operand.tensor.shape[1], MIN_TASK_ELEMENTS)

            def task(index: Index) -> Stmt:
                row, piece = divmod_index(index, cut.pieces)
                return cut.piece(piece, lambda start, size: part(operand, row, start, size, first))

            return emit.parallel(rows * cut.pieces, task)

        if threads == 1 or rows >= 2 * threads:
            body = emit.parallel(rows, whole_row)
        else:
            body = emit.seq(pieces(x, first) for x, first in zip(inputs, firsts, strict=False))
        parameters = [x.parameter for x in (*inputs, result)]
        return emit.kernel(parameters, declared([*inputs, result], body), threads)


class Concat(NoKnobs):
    """Concatenates feature maps along the channels; all but the last fill whole blocks."""

    name = "concat"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Any dtype; all maps have the output's block, and all but the last fill theirs."""
        if workload.op != "concat" or len(workload.output.shape) != 4:
            return False
        block = workload.output.block
        whole = all(tensor.shape[1] % block == 0 for tensor in workload.inputs[:-1])
        return whole and all(tensor.block == block for tensor in workload.inputs)

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        inputs, result = operands_of(workload)
        epilogue = Epilogue(workload, inputs, result)
        n, _, height, width = workload.output.shape
        lanes = workload.output.block

        def task(index: Index) -> Stmt:
            image, row = divmod_index(index, height)
            parts, first = [], 0
            for operand in inputs:

                def line(block: Index, operand: Operand = operand, first: int = first) -> Stmt:
                    def pixel(column: Index) -> Stmt:
                        value = operand.vector(Pixel(image, block, row, column), lanes)
                        return result.write(value, Pixel(image, first + block, row, column), lanes)

                    return emit.seq([*epilogue.zero_halo(image, first + block, row, 1), emit.loop(width, pixel)])

                blocks = math.ceil(operand.tensor.shape[1] / lanes)
                parts.append(emit.loop(blocks, line))
                first += blocks
            return emit.seq(parts)

        body = declared([*inputs, result], emit.parallel(n * height, task))
        return emit.kernel([x.parameter for x in (*inputs, result)], body, target.threads)
