"""Copies through strides: transposes, slices, repetitions, and any sequence of them that is one view of its source.

The result is written in order; element ``(i0, i1, …)`` is read at ``offset + i0 · strides[0] + i1 · strides[1] + …``.

1. Where neighbours of the result are neighbours of the source, rows are copied in vectors.
2. Where other dimensions are neighbours in the source, square tiles are transposed in registers: whole cache lines are
   read and written once.
3. Else single elements are copied.

Where the sizes are more than the result has, the last two are blocks of channels, of which the last is not full: each
row of the result ends where its channels end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tvmopt.schedules.dtypes import dtype_of
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.memory_bound.copied import MOVED, merged
from tvmopt.schedules.llvm.memory_bound.pointwise import MIN_TASK_ELEMENTS, flat_view
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, View, divmod_index
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import operands_of
from tvmopt.schedules.llvm.parts.split import Cut, rows_in_tasks
from tvmopt.schedules.llvm.parts.transpose import transposed
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

PIECE = 512
"""Elements along a row in one task."""
TASKS_PER_THREAD = 8


class Copy(NoKnobs):
    """The template; attributes: sizes, strides, offset. Input and output are seen as rows of elements."""

    name = "copy"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """One of `MOVED`; the source in any layout, which the strides take into account."""
        tensors = (*workload.inputs, workload.output)
        return workload.op == "copy" and len(workload.dtypes) == 1 and tensors[0].dtype in MOVED

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        return _Copy(workload, target).function()


class _Copy:
    """Writes the loop nest of one workload."""

    def __init__(self, workload: Workload, target: Target) -> None:
        self.target, (inputs, self.result) = target, operands_of(workload)
        self.source, self.dtype = inputs[0], workload.output.dtype
        self.lanes = target.lanes(self.dtype)
        sizes, strides = workload.attr("sizes"), workload.attr("strides")
        self.offset, self.channels = workload.attr("offset"), 0
        if math.prod(sizes) > workload.output.elements:
            outer = merged(sizes[:-2], strides[:-2])
            self.channels = workload.output.elements // math.prod(outer[0])
            sizes, strides = (*outer[0], *sizes[-2:]), (*outer[1], *strides[-2:])
            last: tuple[int, ...] = (sizes[-1], 1)
            rows = sizes[:-2]
        else:
            sizes, strides = merged(sizes, strides)
            rows, last = sizes[:-1], (1,)
        self.sizes, self.strides = sizes, strides
        row = self.channels or sizes[-1]
        self.places = (*(row * math.prod(rows[axis + 1 :]) for axis in range(len(rows))), *last)
        memory = math.prod(self.source.tensor.physical_shape)
        self.views = (View.of(self.source.parameter, (memory,)), flat_view(self.result))

    def function(self) -> Any:
        across = self._across()
        if self.channels:
            body = self._blocks()
        elif across is not None:
            body = self._tiles(across)
        else:
            body = self._rows()
        buffers = (self.source.parameter, self.result.parameter)
        declarations = [view.declare() for view in self.views]
        threads = self.target.threads if math.prod(self.sizes) >= 2 * MIN_TASK_ELEMENTS else 1
        return emit.kernel(buffers, tirx.SeqStmt([*declarations, body]), threads)

    def _across(self) -> int | None:
        """The dimension along which the source is contiguous, if it is another than the result's and tiles pay."""
        if self.strides[-1] in (0, 1) or self.sizes[-1] < self.lanes or dtype_of(self.dtype).nbytes != 4:
            return None
        found = [axis for axis, stride in enumerate(self.strides[:-1]) if stride == 1]
        return found[0] if found and self.sizes[found[0]] >= self.lanes else None

    def _rows(self) -> Stmt:
        """Row by row: the innermost dimension is cut in pieces, the others are loops."""
        cut = Cut.of(self.sizes[-1], PIECE)
        sizes = (*self.sizes[:-1], cut.pieces)
        wanted, outer = TASKS_PER_THREAD * self.target.threads, 1
        while outer < len(sizes) and math.prod(sizes[:outer]) < wanted:
            outer += 1

        def task(index: Index) -> Stmt:
            position = _unravel(index, sizes[:outer])

            def inner(*rest: Index) -> Stmt:
                *place, piece = (*position, *rest)
                return cut.piece(piece, lambda start, size: self._row(place, start, size))

            return emit.nest(sizes[outer:], inner)

        return emit.parallel(math.prod(sizes[:outer]), task)

    def _blocks(self) -> Stmt:
        """Row by row of `channels`, whose last block is not full. Groups of pixels, block by block, were slower."""
        *outer, _, block = self.sizes
        whole, tail = divmod(self.channels, block)

        def row(index: Index) -> Stmt:
            place = _unravel(index, outer)
            parts = [emit.loop(whole, lambda i: self._row([*place, i], 0, block))] if whole else []
            return emit.seq([*parts, self._row([*place, whole], 0, tail)] if tail else parts)

        return rows_in_tasks(math.prod(outer), self.channels, self.target.threads, row)

    def _row(self, position: Sequence[Index], start: Index, size: int) -> Stmt:
        """Copies part of a row."""
        stride = self.strides[-1]
        source = self.offset + _dot(position, self.strides) + start * stride
        result = _dot(position, self.places) + start

        def some(first: Index, width: int) -> Stmt:
            place = source + first * stride
            if stride == 0 and width > 1:
                value = emit.splat(emit.load(self.views[0], [source]), width)
            else:
                value = emit.load(self.views[0], [place], width)
            return emit.store(self.views[1], value, [result + first], width)

        shorter = (1 << bit for bit in reversed(range(self.lanes.bit_length() - 1)))
        widths = (4 * self.lanes, self.lanes, *(shorter if self.channels else (1,)))
        return emit.in_vectors(size, widths if stride in (0, 1) else (1,), some)

    def _tiles(self, across: int) -> Stmt:
        """Transposes between the innermost dimension and `across`; a task has some rows of one band of `across`."""
        lanes = self.lanes
        band = max(lanes, emit.LINE)
        bands, pieces = math.ceil(self.sizes[across] / band), Cut.of(math.ceil(self.sizes[-1] / lanes), PIECE // lanes)
        others = [axis for axis in range(len(self.sizes) - 1) if axis != across]
        counts = [self.sizes[axis] for axis in others]

        def task(index: Index) -> Stmt:
            *position, which, piece = _unravel(index, (*counts, bands, pieces.pieces))
            source = self.offset + _dot(position, [self.strides[axis] for axis in others])
            result = _dot(position, [self.places[axis] for axis in others])
            whole = self.sizes[across] // band

            def some(start: Index, size: int, rows: int) -> Stmt:
                place = (source + which * band, result + which * band * self.places[across])

                def tile(i: Index) -> Stmt:
                    first = (start + i) * lanes
                    full = self.sizes[-1] // lanes
                    return emit.choose(
                        start + i,
                        full,
                        self.sizes[-1] % lanes != 0,
                        lambda last: self._tile(
                            (place[0] + first * self.strides[-1], place[1] + first),
                            across,
                            (rows, self.sizes[-1] - full * lanes if last else lanes),
                        ),
                    )

                return emit.loop(size, tile)

            def banded(last: bool) -> Stmt:
                rows = self.sizes[across] - whole * band if last else band
                return pieces.piece(piece, lambda start, size: some(start, size, rows))

            return emit.choose(which, whole, self.sizes[across] % band != 0, banded)

        return emit.parallel(math.prod(counts) * bands * pieces.pieces, task)

    def _tile(self, place: tuple[Index, Index], across: int, sizes: tuple[int, int]) -> Stmt:
        """One tile from a place in the source to one in the result: `sizes` along `across` and along the last."""
        (source, result), (rows, columns), lanes = place, sizes, self.lanes
        stride, step = self.strides[-1], self.places[across]
        whole = rows // lanes if columns == lanes else 0

        def element(row: Index, column: Index) -> Stmt:
            value = emit.load(self.views[0], [source + row + column * stride])
            return emit.store(self.views[1], value, [result + row * step + column])

        parts = []
        for part in range(whole):
            first = part * lanes
            loaded = [emit.load(self.views[0], [source + first + i * stride], lanes) for i in range(lanes)]
            statements, mixed = transposed(loaded, self.dtype)
            stores = [
                emit.store(self.views[1], value, [result + (first + i) * step], lanes) for i, value in enumerate(mixed)
            ]
            parts.append(tirx.SeqStmt([*statements, *stores]))
        if rows > whole * lanes:
            rest = emit.nest((rows - whole * lanes, columns), lambda i, j: element(whole * lanes + i, j))
            parts.append(rest)
        return emit.seq(parts)


def _unravel(index: Index, sizes: Sequence[int]) -> list[Index]:
    """The position of element `index` of a tensor."""
    position: list[Index] = []
    for size in reversed(sizes[1:]):
        index, last = divmod_index(index, size)
        position.insert(0, last)
    return [index, *position] if sizes else []


def _dot(position: Sequence[Index], strides: Sequence[int]) -> Index:
    return sum((p * stride for p, stride in zip(position, strides, strict=False)), 0)
