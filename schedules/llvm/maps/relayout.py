"""Feature maps from one layout to another: into blocks of channels, out of them, and from one halo to another.

1. Between row-major order and blocks, square tiles of channels × pixels are transposed in registers, so that whole
   vectors are read and written on both sides. Where a row is no multiple of a tile, the last tile begins earlier and
   writes some pixels once more.
2. Between two halos, vectors are copied.
3. Of bytes, from row-major order to blocks of four channels, some pixels of each channel are shuffled together.
4. Between blocks of different sizes, and for elements of other than four bytes, single elements are copied.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from tvmopt.schedules.dtypes import dtype_of
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, View, divmod_index
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import Epilogue, operands_of
from tvmopt.schedules.llvm.parts.quads import QUAD
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.llvm.parts.transpose import transposed
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

tirx = lazily("tvm.tirx")

PIECE = 256
"""Most pixels of a block in one task."""


class Line(NamedTuple):
    """A row of `present` channels: those of a block, or the first of the last block."""

    image: Index
    block: Index
    row: Index
    present: int


class Relayout(NoKnobs):
    """Copies a feature map from one block and halo to another; the new halo and absent channels are zeros."""

    name = "relayout"
    version = 2

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Any dtype."""
        return workload.op == "relayout"

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        before, after = workload.inputs[0], workload.output
        moves = before.block != after.block and 1 in (before.block, after.block)
        nbytes = dtype_of(after.dtype).nbytes
        if (before.block, after.block, nbytes) == (1, QUAD, 1):
            return _Gathered(workload, target).function()
        way = _Transposed if moves and nbytes == 4 else _Copied
        return way(workload, target).function()


class _Maps:
    """What both ways have in common: a task has some pixels of a line of one block of channels."""

    def __init__(self, workload: Workload, target: Target, block: int) -> None:
        inputs, self.result = operands_of(workload)
        self.source, self.target, self.dtype = inputs[0], target, workload.output.dtype
        self.images, self.channels, self.height, self.width = workload.output.shape
        self.flat = not any((*self.source.tensor.halo, *self.result.tensor.halo))
        if self.flat:
            self.source, self.result = self.source.flattened(), self.result.flattened()
            self.height, self.width = 1, self.height * self.width
        self.epilogue = Epilogue(workload, [self.source], self.result)
        self.block, self.blocks = block, math.ceil(self.channels / block)
        self.views = [self.source.view, self.result.view]

    def function(self) -> Any:
        cut, tail = Cut.of(self.width, PIECE), self.channels % self.block
        pieces = self.height * cut.pieces

        def task(index: Index) -> Stmt:
            image, index = divmod_index(index, self.blocks * pieces)
            first, index = divmod_index(index, pieces)
            row, piece = divmod_index(index, cut.pieces)

            def part(last: bool) -> Stmt:
                count = tail if last else self.block
                pixels = cut.piece(piece, lambda start, size: self.pixels(Line(image, first, row, count), start, size))
                edge = self.edge(Line(image, first, row, count))
                return emit.seq([emit.when_below(piece, 1, emit.seq(edge)), pixels] if edge else [pixels])

            return emit.choose(first, self.channels // self.block, tail != 0, part)

        # The edge is written through the result's own view.
        views = {id(view): view for view in (*self.views, self.result.view)}.values()
        declarations = [view.declare() for view in views]
        body = tirx.SeqStmt([*declarations, emit.parallel(self.images * self.blocks * pieces, task)])
        return emit.kernel([self.source.parameter, self.result.parameter], body, self.target.threads)

    def edge(self, line: Line) -> list[Stmt]:
        """Writes the zeros around a line."""
        return [] if self.flat else self.epilogue.zero_halo(line.image, line.block, line.row, 1)

    def pixels(self, line: Line, start: Index, size: int) -> Stmt:
        """Moves `size` pixels of a line from column `start` on."""
        raise NotImplementedError


class _Copied(_Maps):
    """In the blocks of the result, whatever the source's are."""

    def __init__(self, workload: Workload, target: Target) -> None:
        super().__init__(workload, target, workload.output.block)
        self.from_block = workload.inputs[0].block
        if self.from_block == self.block == 1:
            # Columns are neighbours in memory: they become the last dimension of the views.
            self.views = [View.of(view.parameter, view.shape[:4]) for view in self.views]

    def pixels(self, line: Line, start: Index, size: int) -> Stmt:
        if self.from_block == self.block == 1:
            return emit.in_vectors(
                size, (self.target.lanes(self.dtype), 1), lambda first, width: self._columns(line, start + first, width)
            )
        if self.from_block == self.block:
            return emit.loop(size, lambda i: self._pixel(line, start + i))
        elements = emit.nest((size, line.present), lambda i, lane: self._element(line, start + i, lane))
        zeros = emit.nest((size, self.block - line.present), lambda i, lane: self._zero(line, start + i, lane))
        return emit.seq([elements, zeros] if line.present < self.block else [elements])

    def _columns(self, line: Line, column: Index, width: int) -> Stmt:
        places = [_at(line, operand.tensor, column) for operand in (self.source, self.result)]
        return emit.store(self.views[1], emit.load(self.views[0], places[0], width), places[1], width)

    def _pixel(self, line: Line, column: Index) -> Stmt:
        source, result = ([*_at(line, operand.tensor, column), 0] for operand in (self.source, self.result))
        value = emit.load(self.views[0], source, self.block)
        if line.present < self.block:
            there = tirx.Ramp(0, 1, self.block) < tirx.Broadcast(tirx.const(line.present, "int32"), self.block)
            value = tirx.Select(there, value, emit.splat(emit.const(0.0, self.dtype), self.block))
        return emit.store(self.views[1], value, result, self.block)

    def _element(self, line: Line, column: Index, lane: Index) -> Stmt:
        channel, from_lane = divmod_index(line.block * self.block + lane, self.from_block)
        source = [*_at(line._replace(block=channel), self.source.tensor, column), from_lane]
        place = [*_at(line, self.result.tensor, column), lane]
        return emit.store(self.views[1], emit.load(self.views[0], source), place)

    def _zero(self, line: Line, column: Index, lane: Index) -> Stmt:
        place = [*_at(line, self.result.tensor, column), line.present + lane]
        return emit.store(self.views[1], emit.const(0.0, self.dtype), place)


class _Transposed(_Maps):
    """Between row-major order and blocks, four bytes an element."""

    def __init__(self, workload: Workload, target: Target) -> None:
        super().__init__(workload, target, max(workload.inputs[0].block, workload.output.block))
        self.inward = workload.inputs[0].block == 1
        plain = 0 if self.inward else 1
        view = self.views[plain]
        self.views[plain] = View.of(view.parameter, view.shape[:4])
        self.side = 1
        most = min(self.width, target.lanes(self.dtype))
        while 2 * self.side <= most and self.block % (2 * self.side) == 0:
            self.side *= 2

    def edge(self, line: Line) -> list[Stmt]:
        """Row-major results have lines of single channels."""
        if self.inward or self.flat or not any(self.result.tensor.halo):
            return super().edge(line)

        def channel(lane: Index) -> Stmt:
            return emit.seq(super(_Transposed, self).edge(line._replace(block=line.block * self.block + lane)))

        return [emit.loop(line.present, channel)]

    def pixels(self, line: Line, start: Index, size: int) -> Stmt:
        side = self.side

        def tiles(first: Index) -> Stmt:
            return emit.seq(self._tile(line, start + first, group) for group in range(0, self.block, side))

        parts = [emit.loop(size // side, lambda i: tiles(i * side))]
        if size % side:
            parts.append(tiles(size - side))
        return emit.seq(parts)

    def _tile(self, line: Line, column: Index, lane: int) -> Stmt:
        """A tile of pixels from `column` on and channels from `lane` of the block on."""
        side = self.side

        def plain(i: int) -> list[Index]:
            operand = self.source if self.inward else self.result
            return _at(line._replace(block=line.block * self.block + lane + i), operand.tensor, column)

        def blocked(i: int) -> list[Index]:
            operand = self.result if self.inward else self.source
            return [*_at(line, operand.tensor, column + i), lane]

        there = range(min(side, line.present - lane))
        zero = emit.splat(emit.const(0.0, self.dtype), side)
        if self.inward:
            rows = [emit.load(self.views[0], plain(i), side) if i in there else zero for i in range(side)]
        elif there:
            rows = [emit.load(self.views[0], blocked(i), side) for i in range(side)]
        else:
            return emit.seq([])
        statements, mixed = transposed(rows, self.dtype) if side > 1 else ([], rows)
        to, places = (blocked, range(side)) if self.inward else (plain, there)
        return emit.seq([*statements, *(emit.store(self.views[1], mixed[i], to(i), side) for i in places)])


class _Gathered(_Maps):
    """From row-major order to blocks of four channels, bytes: the four of a pixel come together by one shuffle."""

    def __init__(self, workload: Workload, target: Target) -> None:
        super().__init__(workload, target, QUAD)
        self.views[0] = View.of(self.source.parameter, self.source.view.shape[:4])
        self.step = 1
        while 2 * self.step <= min(self.width, target.lanes("float32")):
            self.step *= 2

    def pixels(self, line: Line, start: Index, size: int) -> Stmt:
        parts = [emit.loop(size // self.step, lambda i: self._some(line, start + i * self.step))]
        if size % self.step:
            # A piece may be narrower than a step; the map is not.
            last = start + size - self.step
            parts.append(self._some(line, emit.most(last, 0)))
        return emit.seq(parts)

    def _some(self, line: Line, column: Index) -> Stmt:
        zero = emit.splat(emit.const(0, self.dtype), self.step)

        def channel(lane: int) -> emit.Expr:
            place = _at(line._replace(block=line.block * QUAD + lane), self.source.tensor, column)
            return emit.load(self.views[0], place, self.step)

        rows = [channel(lane) if lane < line.present else zero for lane in range(QUAD)]
        places = [lane * self.step + pixel for pixel in range(self.step) for lane in range(QUAD)]
        value = emit.shuffled(rows, places)
        return emit.store(self.views[1], value, [*_at(line, self.result.tensor, column), 0], QUAD * self.step)


def _at(line: Line, tensor: Tensor, column: Index) -> list[Index]:
    """Where a pixel of a line is in a tensor: image, block, row and column."""
    top, left, _, _ = tensor.halo
    return [line.image, line.block, line.row + top, column + left]
