"""Normalisation of plain tensors: layer, RMS, instance and group normalisation, scale and bias in the epilogue.

A tensor is seen as ``(images, groups, channels, pixels)``; each group of an image, contiguous in memory, is one row
with a mean and a deviation. Layer normalisation has as many images as rows, one group and one channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvmopt.schedules.compute.functions import LONG_CHAINS
from tvmopt.schedules.compute.pointwise import VectorMath
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.expression import functions_of
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.memory_bound.moments import CHUNK, Moments, Transform, inverse_deviation, sum_along
from tvmopt.schedules.llvm.memory_bound.pointwise import MIN_TASK_ELEMENTS, flat_view
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Buffer, Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import operands_of
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

ROW_OPERATORS = ("row_norm", "map_norm")


class RowNorm(NoKnobs):
    """The template; attributes: kind (``standard`` or ``rms``, which does not subtract the mean), epsilon."""

    name = "row_norm"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32, all operands in row-major order and of rank 4."""
        if workload.op not in ROW_OPERATORS or workload.dtypes != {FLOAT32}:
            return False
        tensors = (*workload.inputs, workload.output)
        return all(tensor.plain and len(tensor.shape) == 4 for tensor in tensors)

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        return _Rows(workload, target).function()


class _Rows:
    """Writes the loop nest of one workload."""

    def __init__(self, workload: Workload, target: Target) -> None:
        self.workload, self.target, self.lanes = workload, target, target.lanes(FLOAT32)
        self.inputs, self.result = operands_of(workload)
        self.images, self.groups, self.channels, self.pixels = workload.output.shape
        self.rows, self.length = self.images * self.groups, self.channels * self.pixels
        self.views = [flat_view(x) for x in (*self.inputs, self.result)]
        self.centred, self.cut = workload.attr("kind") != "rms", Cut.of(self.length, CHUNK)
        # Side by side, two vectors hide each other's latency where a function has a long chain of operations.
        self.wide = self.lanes * (2 if functions_of(workload.epilogue) & LONG_CHAINS else 1)

    def function(self) -> Any:
        long = self.workload.output.elements >= 2 * MIN_TASK_ELEMENTS
        threads = self.target.threads if long else 1
        if self.cut.pieces > 1 and self.rows < 2 * threads and threads > 1:
            body = self._pieces()
        else:
            body = emit.parallel(self.rows, self._row)
        operands = (*self.inputs, self.result)
        declarations = [view.declare() for view in self.views]
        return emit.kernel([x.parameter for x in operands], tirx.SeqStmt([*declarations, body]), threads)

    def _row(self, row: Index) -> Stmt:
        """One row from beginning to end."""
        held = Moments.local(1, self.centred, "row")
        if self.cut.pieces == 1:
            moments = self._chunk(row * self.length, self.length, held)
        else:
            first = row * self.length
            moments = self._merged(held, lambda _, start, size, part: self._chunk(first + start, size, part))
        inverse = inverse_deviation(emit.load(held.squares, [0]), self.length, self.workload.attr("epsilon"))

        def channel(index: Index) -> Stmt:
            return self._write(row, index, (0, self.pixels), (held.mean, held.squares, 0))

        body = [moments, emit.store(held.squares, inverse, [0]), emit.loop(self.channels, channel, "c")]
        return emit.allocate(held.buffers, body)

    def _pieces(self) -> Stmt:
        """Few long rows: threads share each row's chunks, first for its moments, then to write it."""
        count = self.cut.pieces
        parts = Moments.local(self.rows * count, self.centred, "parts")
        whole = Moments.local(self.rows, self.centred, "rows")

        def measure(index: Index) -> Stmt:
            row, piece = divmod_index(index, count)
            held = Moments.local(1, self.centred, "chunk")
            chunk = self.cut.piece(piece, lambda start, size: self._chunk(row * self.length + start, size, held))
            pairs = zip(parts.buffers, held.buffers, strict=True)
            return emit.allocate(
                held.buffers, [chunk, *(emit.store(to, emit.load(x, [0]), [index]) for to, x in pairs)]
            )

        def join(row: Index) -> Stmt:
            held = Moments.local(1, self.centred, "row")

            def fetch(number: Index, start: Index, size: int, part: Moments) -> Stmt:
                pairs = zip(parts.buffers, part.buffers, strict=True)
                return emit.seq(emit.store(to, emit.load(x, [row * count + number]), [0]) for x, to in pairs)

            inverse = inverse_deviation(emit.load(held.squares, [0]), self.length, self.workload.attr("epsilon"))
            moments = [emit.store(whole.squares, inverse, [row])]
            if self.centred:
                moments.append(emit.store(whole.mean, emit.load(held.mean, [0]), [row]))
            return emit.allocate(held.buffers, [self._merged(held, fetch), *moments])

        columns = Cut.of(self.pixels, CHUNK)

        def finish(index: Index) -> Stmt:
            index, piece = divmod_index(index, columns.pieces)
            row, channel = divmod_index(index, self.channels)
            place = (whole.mean, whole.squares, row)
            return columns.piece(piece, lambda start, size: self._write(row, channel, (start, size), place))

        body = [
            emit.parallel(self.rows * count, measure),
            emit.loop(self.rows, join, "row"),
            emit.parallel(self.rows * self.channels * columns.pieces, finish),
        ]
        return emit.allocate([*parts.buffers, *whole.buffers], body)

    def _chunk(self, first: Index, size: int, held: Moments) -> Stmt:
        """The moments of `size` elements from `first` on."""

        def total(of: Transform, into: Buffer) -> Stmt:
            def read(place: Index, width: int) -> emit.Expr:
                return of(emit.load(self.views[0], [first + place], width), width)

            return sum_along(size, self.lanes, read, into)

        return held.of_chunk(size, total)

    def _merged(self, held: Moments, chunk: Callable[[Index, Index, int, Moments], Stmt]) -> Stmt:
        """The moments of all chunks of a row, each stored by ``chunk(number, start, size, part)``, merged in `held`."""
        total = Moments.local(1, self.centred, "total", "float64")
        part = Moments.local(1, self.centred, "part")

        def piece(number: Index) -> Stmt:
            def merged(start: Index, size: int) -> Stmt:
                return emit.seq([chunk(number, start, size, part), *total.merge(part, start, size)])

            return self.cut.piece(number, merged)

        body = [*total.clear(), emit.loop(self.cut.pieces, piece, "chunk"), *total.narrowed(held)]
        return emit.allocate([*total.buffers, *part.buffers], body)

    def _write(
        self, row: Index, channel: Index, pixels: tuple[Index, int], moments: tuple[Buffer, Buffer, Index]
    ) -> Stmt:
        """Normalises some pixels of one channel: the first, and how many; the moments are elements of two buffers."""
        start, size = pixels
        mean, inverse, place = moments
        image, group = divmod_index(row, self.groups)
        position = (image, group, channel)

        def vector(pixel: Index, width: int) -> Stmt:
            def operand(i: int) -> emit.Expr:
                return self._operand(i, position, pixel, width)

            value = operand(0)
            if self.centred:
                value = value - emit.splat(emit.load(mean, [place]), width)
            value = value * emit.splat(emit.load(inverse, [place]), width)
            stored = VectorMath(width).evaluate(self.workload.epilogue, value, operand)
            return emit.store(self.views[-1], stored, [self._place(-1, position, pixel)], width)

        widths = (self.wide, self.lanes, 1)
        return emit.in_vectors(size, widths, lambda first, width: vector(start + first, width))

    def _operand(self, i: int, position: tuple[Index, ...], pixel: Index, width: int) -> emit.Expr:
        place = self._place(i, position, pixel)
        if self.inputs[i].tensor.shape[3] == 1 < self.pixels:
            return emit.splat(emit.load(self.views[i], [place]), width)
        return emit.load(self.views[i], [place], width)

    def _place(self, i: int, position: tuple[Index, ...], pixel: Index) -> Index:
        """Where an operand's element is, dimensions of size one repeated."""
        shape = (*self.inputs, self.result)[i].tensor.shape
        place: Index = 0
        for size, index in zip(shape, (*position, pixel), strict=True):
            place = place * size + (index if size > 1 else 0)
        return place
