"""The loop nest of attention under one config.

A vector holds one value for each of some neighbouring queries. The scores of a block of queries are a matrix
``keys × queries``: a key's elements are read one by one where they are, and only the queries are transposed. Maximum,
exponential and sum of the softmax then work on whole vectors. The second product reads the weights one by one, and the
values in vectors, where they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvmopt.schedules.compute.attention import OWN, Place, places_of, result_of, shape_of
from tvmopt.schedules.compute.pointwise import VectorMath
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.expression import ACC, call
from tvmopt.schedules.lazily import lazily
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
UNROLL = 4
VALUE_VECTORS = 2
"""How many vectors of a value's elements a tile of the second product has."""


def query_lanes(queries: int, target: Target) -> int:
    """How many queries a vector holds: as many as fit, fewer only if there are not half as many."""
    return min(target.lanes(FLOAT32), 1 << (queries - 1).bit_length())


def key_rows(vectors: int, target: Target) -> int:
    """How many keys a tile of the first product has: as many as leave registers for the queries and a key."""
    return max(1, (target.registers - 1 - vectors) // vectors)


@dataclass(frozen=True, slots=True)
class _Block:
    """The queries of a task.

    Attributes:
        batch: index of each batch dimension.
        first: the first query.
        vectors: how many vectors of queries.
        tail: how many queries the last vector has; 0 if it is full.
    """

    batch: tuple[Index, ...]
    first: Index
    vectors: int
    tail: int


@dataclass(frozen=True, slots=True)
class _Memory:
    """What a task keeps, each as ``(…, queries)``.

    Attributes:
        queries: transposed.
        scores: of a span, then their exponentials.
        top: the largest score so far.
        total: the sum of exponentials so far.
        factor: by which earlier spans are scaled, or the result at the end.
        sums: weighted sums of values so far, ``(queries, width)``; None if there is only one span.
    """

    queries: emit.Buffer
    scores: emit.Buffer
    top: emit.Buffer
    total: emit.Buffer
    factor: emit.Buffer
    sums: emit.Buffer | None

    def buffers(self) -> list[emit.Buffer]:
        """All of them."""
        own = [self.queries, self.scores, self.top, self.total, self.factor]
        return own if self.sums is None else [*own, self.sums]


class Nest:
    """Writes the loop nest of one workload under one config."""

    def __init__(self, workload: Workload, target: Target, config: Config) -> None:
        self.workload, self.target, self.shape = workload, target, shape_of(workload)
        names = (*OWN, *(f"operand{i}" for i in range(len(workload.inputs) - len(OWN))))
        self.inputs = [Operand(tensor, name) for tensor, name in zip(workload.inputs, names, strict=True)]
        self.places = places_of(workload)
        self.result, self.result_place = Operand(workload.output, "output"), result_of(workload)
        self.lanes = query_lanes(self.shape.queries, target)
        self.vectors = config["vectors"]
        self.size = self.vectors * self.lanes
        self.span = config["span"] or self.shape.keys
        self.math = VectorMath(self.lanes)

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
                    return self._block(_Block(tuple(batch), block * self.size, self.vectors, 0))
                vectors, tail = math.ceil(rest / self.lanes), rest % self.lanes
                return self._block(_Block(tuple(batch), whole * self.size, vectors, tail))

            return emit.choose(block, whole, rest > 0, queries)

        body = emit.parallel(math.prod(shape.batch) * blocks, task)
        operands = [*self.inputs, self.result]
        return emit.kernel([x.parameter for x in operands], declared(operands, body), self.target.threads)

    def _block(self, block: _Block) -> Stmt:
        """One task: transposes its queries, then span after span."""
        spans = math.ceil(self.shape.keys / self.span)
        size = block.vectors * self.lanes
        memory = _Memory(
            emit.local(self.shape.depth * size, "transposed"),
            emit.local(min(self.span, self.shape.keys) * size, "scores"),
            *(emit.local(size, name) for name in ("top", "total", "factor")),
            emit.local(size * self.shape.width, "sums") if spans > 1 else None,
        )
        body = [self._transpose(block, memory)]
        body += [self._fill(memory.top, LOWEST, v) for v in range(block.vectors)]
        body += [self._fill(memory.total, 0.0, v) for v in range(block.vectors)]
        if memory.sums is not None:
            zero = emit.const(0.0)
            sums = memory.sums
            body.append(emit.loop(size * self.shape.width, lambda i: emit.store(sums, zero, [i])))
        body.append(emit.split_loop(self.shape.keys, self.span, lambda k, n: self._span(block, memory, k, n), "span"))
        body.append(self._finish(block, memory))
        return emit.allocate(memory.buffers(), body)

    def _fill(self, buffer: emit.Buffer, value: float, vector: int) -> Stmt:
        return emit.store(buffer, emit.splat(emit.const(value), self.lanes), [vector * self.lanes], self.lanes)

    def _base(self, place: Place, block: _Block) -> Index:
        return place.start + sum(index * stride for index, stride in zip(block.batch, place.batch, strict=True))

    def _transpose(self, block: _Block, memory: _Memory) -> Stmt:
        """``transposed[depth][query]``; queries beyond the last one repeat it."""
        place, view, size = self.places[0], self.inputs[0].view, block.vectors * self.lanes
        base = self._base(place, block)
        present = size - self.lanes + block.tail if block.tail else size

        def row(query: int) -> Index:
            return base + (block.first + min(query, present - 1)) * place.row

        def element(query: int, depth: Index) -> Expr:
            return emit.load(view, [0, 0, 0, 0, row(query) + depth * place.column])

        def tile(depth: Index, vector: int) -> Stmt:
            loads = [
                emit.load(view, [0, 0, 0, 0, row(vector * self.lanes + i) + depth], self.lanes)
                for i in range(self.lanes)
            ]
            statements, columns = transposed(loads)
            stores = [
                emit.store(memory.queries, column, [(depth + i) * size + vector * self.lanes], self.lanes)
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

    def _span(self, block: _Block, memory: _Memory, first: Index, keys: int) -> Stmt:
        """Scores, softmax and weighted values of `keys` keys from `first` on."""
        before = [emit.load(memory.top, [v * self.lanes], self.lanes) for v in range(block.vectors)]
        kept = [emit.store(memory.factor, top, [v * self.lanes], self.lanes) for v, top in enumerate(before)]
        tiles = Cut.of(keys, key_rows(block.vectors, self.target))
        scores = tiles.each(lambda key, count: self._scores(block, memory, (first, key), count), "key")
        return emit.seq([*kept, scores, *self._weights(block, memory, keys), self._values(block, memory, first, keys)])

    def _scores(self, block: _Block, memory: _Memory, at: tuple[Index, Index], keys: int) -> Stmt:
        """A tile of scores: `keys` keys from the second number in `at` on, counted from the span's first key."""
        (first, key), size = at, block.vectors * self.lanes
        tile = Accumulators(keys, block.vectors, self.lanes)
        place, view = self.places[1], self.inputs[1].view
        base = self._base(place, block) + (first + key) * place.row

        def step(d: Index) -> list[Stmt]:
            def element(row: int) -> Expr:
                return emit.splat(emit.load(view, [0, 0, 0, 0, base + row * place.row + d * place.column]), self.lanes)

            def queries(v: int) -> Expr:
                return emit.load(memory.queries, [d * size + v * self.lanes], self.lanes)

            return tile.multiply_add(element, queries)

        body = [*tile.fill(0.0), _unrolled(self.shape.depth, step, "d")]
        for row, v in tile:
            score = tirx.Var("score", _vector_type(self.lanes))
            value = self._inner(block, tile.value(row, v), first + key + row, v)
            top = emit.load(memory.top, [v * self.lanes], self.lanes)
            body += [
                tirx.Bind(score, value),
                emit.store(memory.scores, score, [(key + row) * size + v * self.lanes], self.lanes),
                emit.store(memory.top, tirx.max(top, score), [v * self.lanes], self.lanes),
            ]
        return tile.run(body)

    def _inner(self, block: _Block, score: Expr, key: Index, vector: int) -> Expr:
        """The expression of a score and its operands, for a vector of queries."""

        def operand(i: int) -> Expr:
            place, view = self.places[i], self.inputs[i].view
            index = self._base(place, block) + key * place.row
            if place.column == 0:
                return emit.splat(emit.load(view, [0, 0, 0, 0, index]), self.lanes)
            index = index + (block.first + vector * self.lanes) * place.column
            tail = block.tail if vector == block.vectors - 1 else 0
            if place.column == 1 and not tail:
                return emit.load(view, [0, 0, 0, 0, index], self.lanes)
            count = tail or self.lanes
            elements = [emit.load(view, [0, 0, 0, 0, index + i * place.column]) for i in range(count)]
            return _gathered(elements, self.lanes)

        return self.math.evaluate(self.workload.inner, score, operand)

    def _weights(self, block: _Block, memory: _Memory, keys: int) -> list[Stmt]:
        """Exponentials in place of the scores, their sum, and the factor for earlier spans."""
        body: list[Stmt] = []
        shifts = []
        for v in range(block.vectors):
            at = [v * self.lanes]
            top = emit.load(memory.top, at, self.lanes)
            # Where all scores so far are -inf, they may not be subtracted from themselves: a later one may be finite.
            shift = tirx.Var("shift", _vector_type(self.lanes))
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
                weight = tirx.Var("weight", _vector_type(self.lanes))
                value = self._exponential(emit.load(memory.scores, at, self.lanes) - shift)
                statements += [
                    tirx.Bind(weight, value),
                    emit.store(memory.scores, weight, at, self.lanes),
                    sums.set(0, v, sums.value(0, v) + weight),
                ]
            return statements

        whole = [*sums.fill(0.0), _unrolled(keys, key, "key")]
        for _, v in sums:
            at = [v * self.lanes]
            total = emit.load(memory.total, at, self.lanes) + sums.value(0, v)
            whole.append(emit.store(memory.total, total, at, self.lanes))
        return [*body, sums.run(whole)]

    def _exponential(self, value: Expr) -> Expr:
        return self.math.evaluate(call("exp", ACC), value, lambda _: None)

    def _values(self, block: _Block, memory: _Memory, first: Index, keys: int) -> Stmt:
        """Adds the weighted values of a span, or stores the result if there is only one."""
        queries = self._present(block)
        if memory.sums is None:
            # The factor is used at once by the tiles.
            parts = [self._divisor(block, memory)]
        else:
            parts = []
        lanes = self.target.lanes(FLOAT32)
        whole, rest = divmod(self.shape.width, lanes)

        def columns(column: Index, widths: tuple[int, ...]) -> Stmt:
            rows = max(1, (self.target.registers - 1 - len(widths)) // len(widths))
            cut = Cut.of(queries, rows)
            return cut.each(
                lambda q, count: self._value_tile(block, memory, (first, keys), (q, count, column, widths)), "query"
            )

        full = whole - whole % VALUE_VECTORS
        if full:
            wide = (lanes,) * VALUE_VECTORS
            parts.append(
                emit.loop(full // VALUE_VECTORS, lambda c: columns(c * (VALUE_VECTORS * lanes), wide), "column")
            )
        left = (*((lanes,) * (whole - full)), *((rest,) if rest else ()))
        if left:
            parts.append(columns(full * lanes, left))
        return emit.seq(parts)

    def _present(self, block: _Block) -> int:
        return block.vectors * self.lanes - (self.lanes - block.tail if block.tail else 0)

    def _value_tile(
        self, block: _Block, memory: _Memory, span: tuple[Index, int], tile: tuple[Index, int, Index, tuple[int, ...]]
    ) -> Stmt:
        """The values of a `span` (first key, keys) for a `tile` (first query, queries, first column, vector widths)."""
        (first, keys), (query, count, column, widths), size = span, tile, block.vectors * self.lanes
        held = [[emit.local(width, "sum") for width in widths] for _ in range(count)]
        place, view = self.places[2], self.inputs[2].view
        base = self._base(place, block) + first * place.row + column
        starts = [sum(widths[:v]) for v in range(len(widths))]

        def step(n: Index) -> list[Stmt]:
            values = [
                emit.load(view, [0, 0, 0, 0, base + n * place.row + s], w) for s, w in zip(starts, widths, strict=True)
            ]
            weights = [emit.load(memory.scores, [n * size + query + q]) for q in range(count)]
            return [
                emit.store(held[q][v], emit.load(held[q][v], [0], w) + emit.splat(weights[q], w) * values[v], [0], w)
                for q in range(count)
                for v, w in enumerate(widths)
            ]

        def begin(q: int, v: int) -> Expr:
            width = widths[v]
            if memory.sums is None:
                return emit.splat(emit.const(0.0), width)
            factor = emit.splat(emit.load(memory.factor, [query + q]), width)
            return emit.load(memory.sums, [(query + q) * self.shape.width + column + starts[v]], width) * factor

        def end(q: int, v: int) -> Stmt:
            width, value = widths[v], emit.load(held[q][v], [0], widths[v])
            if memory.sums is None:
                return self._store(block, memory, value, (query + q, column + starts[v], width))
            return emit.store(memory.sums, value, [(query + q) * self.shape.width + column + starts[v]], width)

        each = [(q, v) for q in range(count) for v in range(len(widths))]
        body = [emit.store(held[q][v], begin(q, v), [0], widths[v]) for q, v in each]
        body.append(_unrolled(keys, step, "key"))
        body += [end(q, v) for q, v in each]
        return emit.allocate([buffer for row in held for buffer in row], body)

    def _divisor(self, block: _Block, memory: _Memory) -> Stmt:
        """What the weighted sums are multiplied by at the end: NaN or infinite without any weight."""
        one = self.math.const(1.0)
        return emit.seq(
            emit.store(
                memory.factor, one / emit.load(memory.total, [v * self.lanes], self.lanes), [v * self.lanes], self.lanes
            )
            for v in range(block.vectors)
        )

    def _finish(self, block: _Block, memory: _Memory) -> Stmt:
        """Stores the sums of several spans, divided by the total."""
        if memory.sums is None:
            return emit.seq([])
        sums, width = memory.sums, self.shape.width
        lanes = self.target.lanes(FLOAT32)
        whole, rest = divmod(width, lanes)

        def row(query: Index) -> Stmt:
            def vector(column: Index, lanes_here: int) -> Stmt:
                value = emit.load(sums, [query * width + column], lanes_here)
                return self._store(block, memory, value, (query, column, lanes_here))

            parts = [emit.loop(whole, lambda c: vector(c * lanes, lanes), "column")] if whole else []
            return emit.seq([*parts, *([vector(whole * lanes, rest)] if rest else [])])

        return emit.seq([self._divisor(block, memory), emit.loop(self._present(block), row, "query")])

    def _store(self, block: _Block, memory: _Memory, value: Expr, at: tuple[Index, Index, int]) -> Stmt:
        """Stores a vector of the result: `at` is its query in the block, its column, its width."""
        query, column, width = at
        result = value * emit.splat(emit.load(memory.factor, [query]), width)
        if self.workload.attr("guard"):
            total = emit.splat(emit.load(memory.total, [query]), width)
            zero = emit.splat(emit.const(0.0), width)
            # False for NaN as well.
            result = tirx.Select(total > zero, result, zero)
        place = self.result_place
        index = self._base(place, block) + (block.first + query) * place.row + column
        return emit.store(self.result.view, result, [0, 0, 0, 0, index], width)


def _vector_type(lanes: int) -> str:
    return "float32" if lanes == 1 else f"float32x{lanes}"


def _unrolled(extent: int, step: Callable[[Index], list[Stmt]], name: str) -> Stmt:
    def several(first: Index, count: int) -> Stmt:
        return emit.seq(statement for u in range(count) for statement in step(first + u))

    return emit.split_loop(extent, min(UNROLL, extent), several, name)


def _gathered(elements: list[Expr], lanes: int) -> Expr:
    """The scalars as a vector, filled up with zeros."""
    if lanes == 1:
        return elements[0]
    zeros = [emit.const(0.0)] * (lanes - len(elements))
    return tirx.Shuffle([*elements, *zeros], list(range(lanes)))
