"""The second product of attention: weights by values."""

from __future__ import annotations

from tvmopt.schedules.compute.attention import places_of, result_of, shape_of
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.attention.block import Block, Memory, unrolled
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Expr, Index, Stmt
from tvmopt.schedules.llvm.parts.operands import Operand
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

VALUE_VECTORS = 2
"""How many vectors of a value's elements a tile has."""
VALUES_AHEAD = 16
"""For how many keys ahead values are prefetched: rows that are far apart are no stream that the hardware follows."""


class Values:
    """Writes the second product of one workload.

    Args:
        value, result: the operands.
        workload: what is computed.
        target: the machine to generate code for.
    """

    def __init__(self, value: Operand, result: Operand, workload: Workload, target: Target) -> None:
        self.value, self.result, self.target, self.shape = value, result, target, shape_of(workload)
        self.place, self.result_place = places_of(workload)[2], result_of(workload)
        self.guard = bool(workload.attr("guard"))

    def add(self, block: Block, memory: Memory, first: Index, keys: int) -> Stmt:
        """Adds the weighted values of a span, or stores the result if there is only one."""
        queries = block.present
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

    def _value_tile(
        self, block: Block, memory: Memory, span: tuple[Index, int], tile: tuple[Index, int, Index, tuple[int, ...]]
    ) -> Stmt:
        """The values of a `span` (first key, keys) for a `tile` (first query, queries, first column, vector widths)."""
        (first, keys), (query, count, column, widths), size = span, tile, block.size
        held = [[emit.local(width, "sum") for width in widths] for _ in range(count)]
        place, view = self.place, self.value.view
        base = block.base(place) + first * place.row + column
        starts = [sum(widths[:v]) for v in range(len(widths))]

        def step(n: Index) -> list[Stmt]:
            values = [
                emit.load(view, [0, 0, 0, 0, base + n * place.row + s], w) for s, w in zip(starts, widths, strict=True)
            ]
            weights = [emit.load(memory.scores, [n * size + query + q]) for q in range(count)]
            ahead = [emit.prefetch(view, [0, 0, 0, 0, base + (n + VALUES_AHEAD) * place.row + s]) for s in starts]
            return ahead + [
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
        body.append(unrolled(keys, step, "key"))
        body += [end(q, v) for q, v in each]
        return emit.allocate([buffer for row in held for buffer in row], body)

    def _divisor(self, block: Block, memory: Memory) -> Stmt:
        """What the weighted sums are multiplied by at the end: NaN or infinite without any weight."""
        one = emit.splat(emit.const(1.0), block.lanes)

        def divided(v: int) -> Stmt:
            at = [v * block.lanes]
            return emit.store(memory.factor, one / emit.load(memory.total, at, block.lanes), at, block.lanes)

        return emit.seq(map(divided, range(block.vectors)))

    def finish(self, block: Block, memory: Memory) -> Stmt:
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

        return emit.seq([self._divisor(block, memory), emit.loop(block.present, row, "query")])

    def _store(self, block: Block, memory: Memory, value: Expr, at: tuple[Index, Index, int]) -> Stmt:
        """Stores a vector of the result: `at` is its query in the block, its column, its width."""
        query, column, width = at
        result = value * emit.splat(emit.load(memory.factor, [query]), width)
        if self.guard:
            total = emit.splat(emit.load(memory.total, [query]), width)
            zero = emit.splat(emit.const(0.0), width)
            # False for NaN as well.
            result = tirx.Select(total > zero, result, zero)
        place = self.result_place
        index = block.base(place) + (block.first + query) * place.row + column
        return emit.store(self.result.view, result, [0, 0, 0, 0, index], width)
