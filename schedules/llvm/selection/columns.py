"""The few best elements of many rows side by side: each lane of a vector is a row of its own.

For rows whose neighbours in memory belong to other rows, such as the scores of classes at each pixel.
"""

from __future__ import annotations

import math

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Expr, Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.llvm.selection.rows import Rows

tirx = lazily("tvm.tirx")

MOST = 8
"""The most elements of a row that are kept in vectors."""
REGISTERS = 4
"""Vectors of keys that are held at the same time."""
TASK_ELEMENTS = 16384


class Columns:
    """Selects in vectors along the inner dimension."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.step = rows.lanes * max(1, REGISTERS // rows.count)

    def tasks(self, outer: int) -> Stmt:
        """All rows; a task has some pieces of the inner dimension at one outer index."""
        rows = self.rows
        groups = Cut.of(math.ceil(rows.inner / self.step), max(1, TASK_ELEMENTS // (self.step * rows.axis)))

        def task(index: Index) -> Stmt:
            line, group = divmod_index(index, groups.pieces)
            start, result = line * (rows.axis * rows.inner), line * (rows.count * rows.inner)

            def some(first: Index, count: int) -> Stmt:
                return emit.loop(count, lambda i: self._piece(start, result, first + i))

            return groups.piece(group, some)

        return emit.parallel(outer * groups.pieces, task)

    def _piece(self, start: Index, result: Index, piece: Index) -> Stmt:
        whole, rest = divmod(self.rows.inner, self.step)
        lanes = self.rows.lanes

        def select(last: bool) -> Stmt:
            column = piece * self.step
            if not last:
                return self._select(start + column, result + column, self.step // lanes, lanes)
            return emit.in_vectors(
                rest, (lanes, 1), lambda i, width: self._select(start + column + i, result + column + i, 1, width)
            )

        return emit.choose(piece, whole, rest != 0, select)

    def _select(self, start: Index, result: Index, vectors: int, lanes: int) -> Stmt:
        """The best of `vectors` times `lanes` neighbouring rows."""
        rows, count = self.rows, self.rows.count
        size = vectors * count * lanes
        keys, places = (emit.local(size, name, rows.key) for name in ("best_keys", "best_places"))

        def put(e: Index, held: int) -> Stmt:
            return emit.seq(
                self._put((keys, places), vector * count, (start + vector * lanes, e, held), lanes)
                for vector in range(vectors)
            )

        def write(vector: int, place: int) -> Stmt:
            value = emit.load(places, [(vector * count + place) * lanes], lanes)
            wide = value if rows.key == "int64" else value.astype("int64" if lanes == 1 else f"int64x{lanes}")
            at = result + vector * lanes + place * rows.inner
            return emit.store(rows.result.view, wide, [0, 0, 0, 0, at], lanes)

        return emit.allocate(
            [keys, places],
            [
                *(put(e, e) for e in range(count)),
                emit.loop(rows.axis - count, lambda e: put(e + count, count)),
                *(write(vector, place) for vector in range(vectors) for place in range(count)),
            ],
        )

    def _put(
        self, buffers: tuple[emit.Buffer, emit.Buffer], first: int, element: tuple[Index, Index, int], lanes: int
    ) -> Stmt:
        """Puts one element of each row behind those that are as good; `element` ends with how many are held."""
        (keys, places), (start, e, held) = buffers, element
        kind = self.rows.key if lanes == 1 else f"{self.rows.key}x{lanes}"
        key, place = tirx.Var("key", kind), emit.splat(self.rows.places(e, 1), lanes)
        body = [tirx.Bind(key, self.rows.keys(start, e, lanes))]

        def at(buffer: emit.Buffer, number: int) -> Expr:
            return emit.load(buffer, [(first + number) * lanes], lanes)

        for number in reversed(range(min(held + 1, self.rows.count))):
            for buffer, new in ((places, place), (keys, key)):
                # Keys decide, so that places are written before them.
                value = new if number == held else tirx.Select(key < at(keys, number), new, at(buffer, number))
                if number:
                    value = tirx.Select(key < at(keys, number - 1), at(buffer, number - 1), value)
                body.append(emit.store(buffer, value, [(first + number) * lanes], lanes))
        return emit.seq(body)
