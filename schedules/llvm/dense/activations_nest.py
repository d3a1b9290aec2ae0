"""The loop nest of a product of two quantised matrices, both computed.

Each panel of the right matrix is packed when it is needed, four rows as one element, and its bytes are moved by 128,
which makes them signed. With ``b = 128 + b'`` and ``z = 128 + z'``,
``Σ (a - y)(b - z) = Σ a b' - y Σ b' - z' Σ a + K y z'``.
"""

from __future__ import annotations

import math
from typing import Any

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.dense.integers_nest import IntegerDenseNest
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.operands import declared
from tvmopt.schedules.llvm.parts.products import multiply_add
from tvmopt.schedules.llvm.parts.quads import QUAD, SUMS
from tvmopt.schedules.llvm.parts.register_tile import Accumulators
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

MIDDLE = 128
"""What makes signed bytes of unsigned ones when it is subtracted."""
_ONES = 0x01010101
_MIDDLES = -0x7F7F7F80
"""Four bytes of 1, and of `MIDDLE`, as int32."""


class ActivationsNest(IntegerDenseNest):
    """Writes the loop nest of one workload under one config."""

    def __init__(self, workload: Workload, target: Target, config: Config, depth: int) -> None:
        super().__init__(workload, target, config, {}, depth)
        self.zero, self.right_zero = workload.attr("zero"), workload.attr("right_zero") - MIDDLE

    def function(self) -> Any:
        """The scheduled PrimFunc."""
        whole_vectors, tail = divmod(self.columns, self.lanes)
        vectors, step = whole_vectors + (tail > 0), self.config["vectors"]
        tiles = math.ceil(vectors / step)

        def task(index: Index) -> Stmt:
            batch, tile = divmod_index(index, tiles)

            def with_tile(last_tile: bool) -> Stmt:
                width = (vectors - (tiles - 1) * step, tail) if last_tile else (step, 0)
                return self._panel(batch, tile * (step * self.lanes), width)

            partial = vectors % step != 0 or tail != 0
            return emit.choose(tile, tiles - 1 if partial else tiles, partial, with_tile)

        body = emit.parallel(self.batch * tiles, task)
        operands = [*self.inputs, self.result]
        return emit.kernel([x.parameter for x in operands], declared(operands, body), self.target.threads)

    def _panel(self, batch: Index, column: Index, width: tuple[int, int]) -> Stmt:
        """All rows of some columns, `width` vectors, the last one with so many elements, or 0 if it is whole."""
        vectors, tail = width
        panel = emit.local(self.depth * vectors * self.lanes, "panel", SUMS)
        firsts = emit.local(vectors * self.lanes, "firsts", SUMS)
        packed = self._packed(panel, firsts, (batch, column), width)
        cut = Cut.of(self.rows, self.config["rows"])

        def tile(row: Index, rows: int) -> Stmt:
            first = batch * self.rows + row
            sums = Accumulators(rows, vectors, self.lanes, SUMS)
            totals = Accumulators(rows, 1 if self.right_zero else 0, self.lanes, SUMS)

            def step(k: Index) -> list[Stmt]:
                def weight(v: int) -> emit.Expr:
                    return emit.load(panel, [(k * vectors + v) * self.lanes], self.lanes)

                def data(r: int) -> emit.Expr:
                    return self.spread(first + r, k)

                ones = self._number(_ONES)
                added = [totals.set(r, v, self._plus(totals.value(r, v), data(r), ones)) for r, v in totals]
                return [*self.products(sums, data, weight), *added]

            def steps(k: Index, count: int) -> Stmt:
                return emit.seq(statement for place in range(count) for statement in step(k + place))

            start = [sums.set(r, v, emit.load(firsts, [v * self.lanes], self.lanes)) for r, v in sums]
            start += totals.fill(0)
            finish = [
                sums.set(r, v, sums.value(r, v) - totals.value(r, 0) * self._number(self.right_zero))
                for r, v in sums
                if self.right_zero
            ]
            body = [*start, *self.reduction(steps), *finish, *self._stored(sums, first, column, tail)]
            return sums.run([totals.run(body)] if self.right_zero else body)

        return emit.allocate([panel, firsts], [packed, cut.each(tile, "rows")])

    def _packed(self, panel: emit.Buffer, firsts: emit.Buffer, at: tuple[Index, Index], width: tuple[int, int]) -> Stmt:
        """Packs a panel, and computes what the sums of its columns begin with."""
        vectors, tail = width
        sums = Accumulators(1, vectors, self.lanes, SUMS)

        def quad(k: Index, rows: int) -> list[Stmt]:
            statements = []
            for v in range(vectors):
                count = tail if tail and v == vectors - 1 else self.lanes
                name = tirx.Var("quad", f"{SUMS}x{self.lanes}")
                statements += [
                    tirx.Bind(name, self._quad(at, k * QUAD, v, (rows, count))),
                    emit.store(panel, name, [(k * vectors + v) * self.lanes], self.lanes),
                    sums.set(0, v, self._plus(sums.value(0, v), self._number(_ONES), name)),
                ]
            return statements

        whole, rest = divmod(self.row_bytes, QUAD)
        body = [emit.loop(whole, lambda k: emit.seq(quad(k, QUAD)), "k")] if whole else []
        body += quad(whole, rest) if rest else []
        constant = self._number(self.row_bytes * self.zero * self.right_zero)
        ends = [
            emit.store(firsts, constant - sums.value(0, v) * self._number(self.zero), [v * self.lanes], self.lanes)
            for v in range(vectors)
        ]
        return sums.run([*sums.fill(0), *body, *ends])

    def _quad(self, at: tuple[Index, Index], row: Index, vector: int, size: tuple[int, int]) -> emit.Expr:
        """Four rows of a vector of columns, moved by 128, as int32; absent rows are zeros."""
        (batch, column), (rows, count) = at, size
        lines = []
        for i in range(QUAD):
            place = (batch * self.row_bytes + row + i) * self.columns + column + vector * self.lanes
            if i >= rows:
                lines.append(emit.splat(tirx.const(MIDDLE, "uint8"), self.lanes))
            elif count == self.lanes:
                lines.append(emit.load(self.inputs[1].view, [0, 0, 0, 0, place], self.lanes))
            else:
                own = [emit.load(self.inputs[1].view, [0, 0, 0, 0, place + j]) for j in range(count)]
                absent = [tirx.const(MIDDLE, "uint8")] * (self.lanes - count)
                lines.append(tirx.Shuffle([*own, *absent], list(range(self.lanes))))
        places = [line * self.lanes + lane for lane in range(self.lanes) for line in range(QUAD)]
        together = tirx.reinterpret(f"{SUMS}x{self.lanes}", emit.shuffled(lines, places))
        return together ^ self._number(_MIDDLES)

    def _plus(self, sums: emit.Expr, data: emit.Expr, weights: emit.Expr) -> emit.Expr:
        """Sums with four products more, of ones with any bytes, which fit 16 bits."""
        return multiply_add(sums, data, weights, self.target, fits=True)

    def _number(self, value: int) -> emit.Expr:
        return emit.splat(tirx.const(value, SUMS), self.lanes)
