"""The loop nest of attention under one config.

A vector holds one value for each of some neighbouring queries. The scores of a block of queries are a matrix
``keys × queries``: a key's elements are read one by one where they are, and only the queries are transposed. Maximum,
exponential and sum of the softmax then work on whole vectors. The second product reads the weights one by one, and the
values in vectors, where they are.
"""

from __future__ import annotations

import math
from typing import Any

from tvmopt.schedules.compute.attention import OWN, places_of, reach_of, shape_of
from tvmopt.schedules.compute.pointwise import VectorMath
from tvmopt.schedules.expression import taken_factor
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.attention.block import (
    UNROLL,
    Block,
    Memory,
    gathered,
    key_rows,
    query_lanes,
    unrolled,
    vector_type,
)
from tvmopt.schedules.llvm.attention.values import Values
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Expr, Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.operands import Operand, declared
from tvmopt.schedules.llvm.parts.register_tile import Accumulators
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.llvm.parts.transpose import transposed
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

LOWEST = -math.inf


class Nest:
    """Writes the loop nest of one workload under one config."""

    def __init__(self, workload: Workload, target: Target, config: Config) -> None:
        self.workload, self.target, self.shape = workload, target, shape_of(workload)
        names = (*OWN, *(f"operand{i}" for i in range(len(workload.inputs) - len(OWN))))
        self.inputs = [Operand(tensor, name) for tensor, name in zip(workload.inputs, names, strict=True)]
        self.places = places_of(workload)
        self.result = Operand(workload.output, "output")
        self.lanes = query_lanes(self.shape.queries, target)
        self.vectors = config["vectors"]
        self.size = self.vectors * self.lanes
        self.span = config["span"] or self.shape.keys
        self.math = VectorMath(self.lanes)
        self.factor, self.inner = taken_factor(workload.inner)
        self.values = Values(self.inputs[2], self.result, workload, target)

    def function(self) -> Any:
        """The PrimFunc: inputs, then the output."""
        shape = self.shape
        whole, rest = divmod(shape.queries, self.size)
        blocks = whole + (rest > 0)

        def task(index: Index) -> Stmt:
            index, block = divmod_index(index, blocks)
            batch: list[Index] = []
            for size in reversed(shape.batch):
                index, here = divmod_index(index, size)
                batch.insert(0, here)

            def queries(last: bool) -> Stmt:
                if not last:
                    return self._block(Block(tuple(batch), block * self.size, self.lanes, self.vectors, 0))
                vectors, tail = math.ceil(rest / self.lanes), rest % self.lanes
                return self._block(Block(tuple(batch), whole * self.size, self.lanes, vectors, tail))

            return emit.choose(block, whole, rest > 0, queries)

        body = emit.parallel(math.prod(shape.batch) * blocks, task)
        operands = [*self.inputs, self.result]
        return emit.kernel([x.parameter for x in operands], declared(operands, body), self.target.threads)

    def _block(self, block: Block) -> Stmt:
        """One task: transposes its queries, then span after span."""
        spans = Cut.of(self.shape.keys, self.span)
        size = block.size
        memory = Memory(
            emit.local(self.shape.depth * size, "transposed"),
            emit.local(spans.size * size, "scores"),
            emit.local(size, "top"),
            emit.local(size, "total"),
            emit.local(size, "factor"),
            emit.local(size * self.shape.width, "sums") if spans.pieces > 1 else None,
        )
        body = [self._transpose(block, memory)]
        body += [self._fill(memory.top, LOWEST, v) for v in range(block.vectors)]
        body += [self._fill(memory.total, 0.0, v) for v in range(block.vectors)]
        if memory.sums is not None:
            zero = emit.const(0.0)
            sums = memory.sums
            body.append(emit.loop(size * self.shape.width, lambda i: emit.store(sums, zero, [i])))
        reach = reach_of(self.workload)

        def span(first: Index, count: int) -> Stmt:
            statement = self._span(block, memory, first, count)
            if reach is None or spans.pieces == 1:
                return statement
            return emit.when_below(first, block.first + block.present + reach, statement)

        body.append(spans.each(span, "span"))
        body.append(self.values.finish(block, memory))
        return emit.allocate(memory.buffers(), body)

    def _fill(self, buffer: emit.Buffer, value: float, vector: int) -> Stmt:
        return emit.store(buffer, emit.splat(emit.const(value), self.lanes), [vector * self.lanes], self.lanes)

    def _transpose(self, block: Block, memory: Memory) -> Stmt:
        """``transposed[depth][query]``, times the scores' factor; queries beyond the last one repeat it."""
        place, view, size = self.places[0], self.inputs[0].view, block.size
        base = block.base(place)

        def row(query: int) -> Index:
            return base + (block.first + min(query, block.present - 1)) * place.row

        def element(query: int, depth: Index) -> Expr:
            return self._scaled(emit.load(view, [0, 0, 0, 0, row(query) + depth * place.column]), 1)

        def tile(depth: Index, vector: int) -> Stmt:
            loads = [
                emit.load(view, [0, 0, 0, 0, row(vector * self.lanes + i) + depth], self.lanes)
                for i in range(self.lanes)
            ]
            statements, columns = transposed(loads)
            stores = [
                emit.store(
                    memory.queries,
                    self._scaled(column, self.lanes),
                    [(depth + i) * size + vector * self.lanes],
                    self.lanes,
                )
                for i, column in enumerate(columns)
            ]
            return emit.seq([*statements, *stores])

        def singly(depth: Index) -> Stmt:
            return emit.seq(emit.store(memory.queries, element(q, depth), [depth * size + q]) for q in range(size))

        in_tiles = self.shape.depth - self.shape.depth % self.lanes if place.column == 1 and self.lanes > 1 else 0
        whole = in_tiles // self.lanes
        parts = []
        if whole:
            parts.append(
                emit.loop(whole, lambda i: emit.seq(tile(i * self.lanes, v) for v in range(block.vectors)), "d")
            )
        if in_tiles < self.shape.depth:
            parts.append(emit.loop(self.shape.depth - in_tiles, lambda d: singly(d + in_tiles), "d"))
        return emit.seq(parts)

    def _span(self, block: Block, memory: Memory, first: Index, keys: int) -> Stmt:
        """Scores, softmax and weighted values of `keys` keys from `first` on."""
        before = [emit.load(memory.top, [v * self.lanes], self.lanes) for v in range(block.vectors)]
        kept = [emit.store(memory.factor, top, [v * self.lanes], self.lanes) for v, top in enumerate(before)]
        tiles = Cut.of(keys, key_rows(block.vectors, self.target))
        scores = tiles.each(lambda key, count: self._scores(block, memory, (first, key), count), "key")
        return emit.seq(
            [*kept, scores, *self._weights(block, memory, keys), self.values.add(block, memory, first, keys)]
        )

    def _scaled(self, value: Expr, lanes: int) -> Expr:
        return value if self.factor == 1.0 else value * emit.splat(emit.const(self.factor), lanes)

    def _scores(self, block: Block, memory: Memory, at: tuple[Index, Index], keys: int) -> Stmt:
        """A tile of scores: `keys` keys from the second number in `at` on, counted from the span's first key."""
        (first, key), size = at, block.size
        tile = Accumulators(keys, block.vectors, self.lanes)
        place, view = self.places[1], self.inputs[1].view
        base = block.base(place) + (first + key) * place.row

        def step(d: Index) -> list[Stmt]:
            def element(row: int) -> Expr:
                return emit.splat(emit.load(view, [0, 0, 0, 0, base + row * place.row + d * place.column]), self.lanes)

            def queries(v: int) -> Expr:
                return emit.load(memory.queries, [d * size + v * self.lanes], self.lanes)

            return tile.multiply_add(element, queries)

        def steps(d: Index, count: int) -> Stmt:
            fetched = self._fetched(base + keys * place.row, keys, d)
            return emit.seq([*fetched, *(statement for u in range(count) for statement in step(d + u))])

        body = [*tile.fill(0.0), emit.split_loop(self.shape.depth, min(UNROLL, self.shape.depth), steps, "d")]
        found: list[list[Expr]] = [[] for _ in range(block.vectors)]
        for row, v in tile:
            score = tirx.Var("score", vector_type(self.lanes))
            value = self._inner(block, tile.value(row, v), first + key + row, v)
            found[v].append(score)
            body += [
                tirx.Bind(score, value),
                emit.store(memory.scores, score, [(key + row) * size + v * self.lanes], self.lanes),
            ]
        for v, scores in enumerate(found):
            place_of_top = [v * self.lanes]
            top = tirx.max(emit.load(memory.top, place_of_top, self.lanes), _largest(scores))
            body.append(emit.store(memory.top, top, place_of_top, self.lanes))
        return tile.run(body)

    def _fetched(self, following: Index, keys: int, step: Index) -> list[Stmt]:
        """What the steps from `step` on prefetch of the next `keys` keys, which begin at `following`.

        Each key is a short stream, which the hardware's prefetcher would have to find anew.
        """
        place, depth = self.places[1], self.shape.depth
        if place.column != 1 or depth < UNROLL:
            return []
        lines = math.ceil(depth / emit.LINE)
        each = math.ceil(keys * lines / (depth // UNROLL))
        first = divmod_index(step, UNROLL)[0] * each
        places = [divmod_index(first + i, lines) for i in range(each)]
        view = self.inputs[1].view
        return [
            emit.prefetch(view, [0, 0, 0, 0, following + key * place.row + line * emit.LINE]) for key, line in places
        ]

    def _inner(self, block: Block, score: Expr, key: Index, vector: int) -> Expr:
        """The expression of a score and its operands, for a vector of queries."""

        def operand(i: int) -> Expr:
            place, view = self.places[i], self.inputs[i].view
            index = block.base(place) + key * place.row
            if place.column == 0:
                return emit.splat(emit.load(view, [0, 0, 0, 0, index]), self.lanes)
            index = index + (block.first + vector * self.lanes) * place.column
            tail = block.tail if vector == block.vectors - 1 else 0
            if place.column == 1 and not tail:
                return emit.load(view, [0, 0, 0, 0, index], self.lanes)
            count = tail or self.lanes
            elements = [emit.load(view, [0, 0, 0, 0, index + i * place.column]) for i in range(count)]
            return gathered(elements, self.lanes)

        return self.math.evaluate(self.inner, score, operand)

    def _weights(self, block: Block, memory: Memory, keys: int) -> list[Stmt]:
        """Exponentials in place of the scores, their sum, and the factor for earlier spans."""
        body: list[Stmt] = []
        shifts = []
        for v in range(block.vectors):
            at = [v * self.lanes]
            top = emit.load(memory.top, at, self.lanes)
            # Where all scores so far are -inf, they may not be subtracted from themselves: a later one may be finite.
            shift = tirx.Var("shift", vector_type(self.lanes))
            lowest = emit.splat(emit.const(LOWEST), self.lanes)
            body.append(tirx.Bind(shift, tirx.Select(tirx.EQ(top, lowest), self.math.const(0.0), top)))
            factor = self._exponential(emit.load(memory.factor, at, self.lanes) - shift)
            body.append(emit.store(memory.factor, factor, at, self.lanes))
            scaled = emit.load(memory.total, at, self.lanes) * emit.load(memory.factor, at, self.lanes)
            body.append(emit.store(memory.total, scaled, at, self.lanes))
            shifts.append(shift)
        sums = Accumulators(1, block.vectors, self.lanes)

        def key(n: Index) -> list[Stmt]:
            statements: list[Stmt] = []
            for v, shift in enumerate(shifts):
                at = [(n * block.vectors + v) * self.lanes]
                weight = tirx.Var("weight", vector_type(self.lanes))
                value = self._exponential(emit.load(memory.scores, at, self.lanes) - shift)
                statements += [
                    tirx.Bind(weight, value),
                    emit.store(memory.scores, weight, at, self.lanes),
                    sums.set(0, v, sums.value(0, v) + weight),
                ]
            return statements

        whole = [*sums.fill(0.0), unrolled(keys, key, "key")]
        for _, v in sums:
            at = [v * self.lanes]
            total = emit.load(memory.total, at, self.lanes) + sums.value(0, v)
            whole.append(emit.store(memory.total, total, at, self.lanes))
        return [*body, sums.run(whole)]

    def _exponential(self, value: Expr) -> Expr:
        return self.math.exp_to_one(value)


def _largest(vectors: list[Expr]) -> Expr:
    """The maxima of vectors, in a tree: one after another they would wait for each other."""
    if len(vectors) == 1:
        return vectors[0]
    half = len(vectors) // 2
    return tirx.max(_largest(vectors[:half]), _largest(vectors[half:]))
