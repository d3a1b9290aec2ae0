"""Instance and group normalisation of feature maps in blocks of channels, scale and bias in the epilogue.

A vector is a block of channels of one pixel, so that the sums of a block's channels grow side by side. Then the moments
of a group's channels are merged:

1. Where no group spans several blocks, one task measures a block and writes it, while it is in the cache.
2. Otherwise all blocks are measured first, then the groups are merged, then all blocks are written.
"""

from __future__ import annotations

import math
from typing import Any

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.memory_bound.moments import Moments, Transform, inverse_deviation, sum_across
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Buffer, Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import Epilogue, Pixel, declared, operands_of
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

CHUNK_PIXELS = 256
"""Pixels of a chunk of a block's maps, which stays in the first-level cache."""
TOGETHER = 4
"""Pixels normalised together."""


class MapNorm(NoKnobs):
    """The template; attributes: kind (``standard`` or ``rms``, which does not subtract the mean), epsilon, groups."""

    name = "map_norm"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32, data and output in blocks of one size."""
        if workload.op != "map_norm" or workload.dtypes != {FLOAT32}:
            return False
        return workload.inputs[0].block == workload.output.block > 1

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        return _Maps(workload, target).function()


class _Maps:
    """Writes the loop nest of one workload."""

    def __init__(self, workload: Workload, target: Target) -> None:
        self.workload, self.target, self.lanes = workload, target, workload.output.block
        self.inputs, self.result = operands_of(workload)
        self.epilogue = Epilogue(workload, self.inputs, self.result)
        self.images, self.channels, self.height, self.width = workload.output.shape
        self.blocks = math.ceil(self.channels / self.lanes)
        self.share = self.channels // workload.attr("groups")
        self.centred, self.epsilon = workload.attr("kind") != "rms", workload.attr("epsilon")
        self.rows = Cut.of(self.height, max(1, CHUNK_PIXELS // self.width))
        self.columns = Cut.of(self.width, CHUNK_PIXELS)

    def function(self) -> Any:
        tasks = self.images * self.blocks
        body = self._apart() if self.lanes % self.share else emit.parallel(tasks, self._block)
        operands = [*self.inputs, self.result]
        return emit.kernel([x.parameter for x in operands], declared(operands, body), self.target.threads)

    def _block(self, index: Index) -> Stmt:
        """One block of channels from beginning to end."""
        image, block = divmod_index(index, self.blocks)
        held = Moments.local(self.lanes, self.centred, "block")
        firsts = range(0, self.lanes, self.share)
        groups = [self._group(held, first) for first in firsts] if self.share > 1 else []
        inverse = self._inverse(emit.load(held.squares, [0], self.lanes), self.lanes)
        if self.channels % self.lanes:
            inverse = self._where_present(block, inverse)
        finish = emit.store(held.squares, inverse, [0], self.lanes)
        body = [self._measure(image, block, held), *groups, finish, self._write(image, block, (held, 0))]
        return emit.allocate(held.buffers, body)

    def _apart(self) -> Stmt:
        """Groups that span blocks."""
        count = self.images * self.blocks * self.lanes
        maps = Moments(*Moments.local(count, self.centred, "maps")[:2], 1, self.centred)

        def measure(index: Index) -> Stmt:
            image, block = divmod_index(index, self.blocks)
            held = Moments.local(self.lanes, self.centred, "block")
            pairs = zip(maps.buffers, held.buffers, strict=True)
            stored = [
                emit.store(to, emit.load(x, [0], self.lanes), [index * self.lanes], self.lanes) for to, x in pairs
            ]
            return emit.allocate(held.buffers, [self._measure(image, block, held), *stored])

        def join(image: Index, group: Index) -> Stmt:
            first = image * (self.blocks * self.lanes) + group * self.share

            def inverse(channel: Index) -> Stmt:
                value = self._inverse(emit.load(maps.squares, [first + channel]), 1)
                return emit.store(maps.squares, value, [first + channel])

            return emit.seq([self._group(maps, first), emit.loop(self.share, inverse, "c")])

        def absent(image: Index) -> Stmt:
            first = image * (self.blocks * self.lanes) + self.channels
            zero = emit.const(0.0)
            return emit.loop(-self.channels % self.lanes, lambda i: emit.store(maps.squares, zero, [first + i]), "c")

        def finish(index: Index) -> Stmt:
            image, block = divmod_index(index, self.blocks)
            return self._write(image, block, (maps, index * self.lanes))

        tasks = self.images * self.blocks
        body = [
            emit.parallel(tasks, measure),
            emit.nest((self.images, self.workload.attr("groups")), join, "g"),
            *([emit.loop(self.images, absent, "n")] if self.channels % self.lanes else []),
            emit.parallel(tasks, finish),
        ]
        return emit.allocate(maps.buffers, body)

    def _measure(self, image: Index, block: Index, held: Moments) -> Stmt:
        """The moments of each channel of a block."""
        if self.rows.pieces * self.columns.pieces == 1:
            return self._chunk(image, block, ((0, self.height), (0, self.width)), held)
        total = Moments.local(self.lanes, self.centred, "total", "float64")
        part = Moments.local(self.lanes, self.centred, "part")

        def band(row: Index, rows: int) -> Stmt:
            def piece(column: Index, columns: int) -> Stmt:
                before = row * self.width + column * rows
                chunk = self._chunk(image, block, ((row, rows), (column, columns)), part)
                return emit.seq([chunk, *total.merge(part, before, rows * columns)])

            return self.columns.each(piece, "x")

        body = [*total.clear(), self.rows.each(band, "y"), *total.narrowed(held)]
        return emit.allocate([*total.buffers, *part.buffers], body)

    def _chunk(
        self, image: Index, block: Index, area: tuple[tuple[Index, int], tuple[Index, int]], held: Moments
    ) -> Stmt:
        """The moments of each channel of a block within some rows and columns, each given by the first and how many."""
        (row, rows), (column, columns) = area

        def total(of: Transform, into: Buffer) -> Stmt:
            def read(y: Index, x: Index) -> emit.Expr:
                return of(self.inputs[0].vector(Pixel(image, block, row + y, column + x), self.lanes), self.lanes)

            return sum_across((rows, columns), self.lanes, read, into)

        return held.of_chunk(rows * columns, total)

    def _group(self, moments: Moments, first: Index) -> Stmt:
        """Gives each channel of a group, the first at `first`, the mean and the mean squared deviation of the group."""
        pixels, total = self.height * self.width, Moments.local(1, self.centred, "group", "float64")
        single = Moments.local(1, self.centred, "channel")

        def add(channel: Index) -> Stmt:
            pairs = zip(single.buffers, moments.buffers, strict=True)
            fetch = [emit.store(to, emit.load(x, [first + channel]), [0]) for to, x in pairs]
            return emit.seq([*fetch, *total.merge(single, channel * pixels, pixels)])

        def spread(channel: Index) -> Stmt:
            pairs = zip(moments.buffers, single.buffers, strict=True)
            return emit.seq(emit.store(to, emit.load(x, [0]), [first + channel]) for to, x in pairs)

        body = [*total.clear(), emit.loop(self.share, add, "c"), *total.narrowed(single)]
        return emit.allocate([*total.buffers, *single.buffers], [*body, emit.loop(self.share, spread, "c")])

    def _inverse(self, squares: emit.Expr, lanes: int) -> emit.Expr:
        return inverse_deviation(squares, self.share * self.height * self.width, self.epsilon, lanes)

    def _where_present(self, block: Index, value: emit.Expr) -> emit.Expr:
        """`value` for channels that there are, zero in the padding of the last block."""
        channel = tirx.Ramp(block * self.lanes, 1, self.lanes)
        there = channel < tirx.Broadcast(tirx.const(self.channels, "int32"), self.lanes)
        return tirx.Select(there, value, emit.splat(emit.const(0.0), self.lanes))

    def _write(self, image: Index, block: Index, moments: tuple[Moments, Index]) -> Stmt:
        """Normalises a block of channels, whose moments begin at a place in buffers."""
        held, place = moments

        def normalized(at: Pixel) -> emit.Expr:
            value = self.inputs[0].vector(at, self.lanes)
            if self.centred:
                value = value - emit.load(held.mean, [place], self.lanes)
            return value * emit.load(held.squares, [place], self.lanes)

        def line(row: Index) -> Stmt:
            def pixels(column: Index, count: int) -> Stmt:
                places = [Pixel(image, block, row, column + i) for i in range(count)]
                return emit.seq(self.epilogue.store_all([(normalized(at), at) for at in places], self.lanes))

            return emit.split_loop(self.width, TOGETHER, pixels)

        return emit.seq([*self.epilogue.zero_halo(image, block, 0, self.height), emit.loop(self.height, line, "y")])
