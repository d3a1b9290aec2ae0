"""Layer normalisation of each pixel of feature maps in blocks, over its channels; scale and bias in the epilogue.

A tile of neighbouring pixels takes three sweeps over its channel blocks, which stay in the first-level cache: for the
means, for the squared deviations and for the results. A vector holds channels, so its elements are added at the end.
"""

from __future__ import annotations

from typing import Any

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.memory_bound.moments import inverse_deviation
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Buffer, Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import Epilogue, Pixel, declared, flattens, operands_of
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

PIECE = 64
"""Most pixels of a line in one task."""
MANY_REGISTERS = 32
TOGETHER = {False: 4, True: 8}
"""Pixels of a tile, without and with this many vector registers; each has a sum, a mean and an inverse deviation."""


class ChannelNorm(NoKnobs):
    """The template; attributes: kind (``standard`` or ``rms``, which does not subtract the mean), epsilon."""

    name = "channel_norm"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32, data and output in blocks of one size."""
        if workload.op != "channel_norm" or workload.dtypes != {FLOAT32}:
            return False
        return workload.inputs[0].block == workload.output.block > 1

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        return _Nest(workload, target).function()


class _Nest:
    """Writes the loop nest of one workload."""

    def __init__(self, workload: Workload, target: Target) -> None:
        self.target, self.lanes = target, workload.output.block
        self.inputs, self.result = operands_of(workload)
        self.images, self.channels, self.height, self.width = workload.output.shape
        if all(flattens(x.tensor, workload.output) for x in (*self.inputs, self.result)):
            self.inputs = [x.flattened() if len(x.tensor.shape) == 4 else x for x in self.inputs]
            self.result = self.result.flattened()
            self.height, self.width = 1, self.height * self.width
        self.epilogue = Epilogue(workload, self.inputs, self.result)
        self.centred, self.epsilon = workload.attr("kind") != "rms", float(workload.attr("epsilon"))
        self.whole, self.rest = divmod(self.channels, self.lanes)
        self.together = TOGETHER[target.registers >= MANY_REGISTERS]

    def function(self) -> Any:
        cut = Cut.of(self.width, PIECE)
        pieces, blocks = self.height * cut.pieces, self.whole + (self.rest > 0)

        def task(index: Index) -> Stmt:
            image, index = divmod_index(index, pieces)
            row, piece = divmod_index(index, cut.pieces)

            def edge(block: Index) -> Stmt:
                return emit.seq(self.epilogue.zero_halo(image, block, row, 1))

            def some(start: Index, size: int) -> Stmt:
                tiles = Cut.of(size, self.together)
                return tiles.each(lambda first, count: self._tile(Pixel(image, 0, row, start + first), count))

            edges = [emit.when_below(piece, 1, emit.loop(blocks, edge))] if any(self.result.tensor.halo) else []
            return emit.seq([*edges, cut.piece(piece, some)])

        operands = [*self.inputs, self.result]
        body = declared(operands, emit.parallel(self.images * pieces, task))
        return emit.kernel([x.parameter for x in operands], body, self.target.threads)

    def _tile(self, at: Pixel, count: int) -> Stmt:
        """`count` pixels from `at` on."""
        lanes, pixels = self.lanes, range(count)
        sums = [emit.local(lanes, f"sum_{p}") for p in pixels]
        means = [emit.local(lanes, f"mean_{p}") for p in pixels] if self.centred else []

        def plain(block: Index, p: int) -> emit.Expr:
            return self.inputs[0].vector(at._replace(block=block, column=at.column + p), lanes)

        def value(block: Index, p: int) -> emit.Expr:
            x = plain(block, p)
            return x - emit.load(means[p], [0], lanes) if self.centred else x

        def squared(block: Index, p: int) -> emit.Expr:
            name = tirx.Var("deviation", f"float32x{lanes}")
            return tirx.Let(name, value(block, p), name * name)

        def inverse(p: int) -> Stmt:
            total = emit.lanes_sum(emit.load(sums[p], [0], lanes), lanes)
            return emit.store(
                sums[p], emit.splat(inverse_deviation(total, self.channels, self.epsilon), lanes), [0], lanes
            )

        def mean(p: int) -> Stmt:
            total = emit.lanes_sum(emit.load(sums[p], [0], lanes), lanes) * emit.const(1.0 / self.channels)
            return emit.store(means[p], emit.splat(total, lanes), [0], lanes)

        def write(block: Index, last: bool) -> Stmt:
            places = [at._replace(block=block, column=at.column + p) for p in pixels]
            values = [value(block, p) * emit.load(sums[p], [0], lanes) for p in pixels]
            values = [self._present(x) for x in values] if last else values
            return emit.seq(self.epilogue.store_all(list(zip(values, places, strict=True)), lanes))

        body = [self._sweep(sums, plain), *map(mean, pixels)] if self.centred else []
        body += [self._sweep(sums, squared), *map(inverse, pixels)]
        if self.whole:
            body.append(emit.loop(self.whole, lambda block: write(block, False), "block"))
        if self.rest:
            body.append(write(self.whole, True))
        return emit.allocate([*sums, *means], body)

    def _sweep(self, sums: list[Buffer], term: Any) -> Stmt:
        """Adds ``term(block, pixel)`` of all blocks, for each pixel of a tile."""
        lanes = self.lanes

        def add(block: Index, last: bool) -> Stmt:
            terms = [self._present(term(block, p)) if last else term(block, p) for p in range(len(sums))]
            pairs = zip(sums, terms, strict=True)
            return emit.seq(emit.store(held, emit.load(held, [0], lanes) + x, [0], lanes) for held, x in pairs)

        clear = [emit.store(held, emit.splat(emit.const(0.0), lanes), [0], lanes) for held in sums]
        whole = [emit.loop(self.whole, lambda block: add(block, False), "block")] if self.whole else []
        return emit.seq([*clear, *whole, *([add(self.whole, True)] if self.rest else [])])

    def _present(self, value: emit.Expr) -> emit.Expr:
        """`value` in the channels that the last block has, zero in the others, whatever they hold."""
        there = tirx.Ramp(0, 1, self.lanes) < tirx.Broadcast(tirx.const(self.rest, "int32"), self.lanes)
        return tirx.Select(there, value, emit.splat(emit.const(0.0), self.lanes))
