"""The few best elements of a row: a sorted list, into which each better element is put by moving the others along.

Putting one in takes no branch: at each place stays what was there, comes what was before, or comes the new element.
"""

from __future__ import annotations

import math

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Expr, Index, Stmt
from tvmopt.schedules.llvm.selection.keys import least_key
from tvmopt.schedules.llvm.selection.rows import Rows

tirx = lazily("tvm.tirx")


class ShortList:
    """The list of one row. Before its first place is one whose key nothing is better than."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.width = min(rows.lanes, 1 << (rows.count - 1).bit_length())
        self.steps = math.ceil(rows.count / self.width)
        size = 1 + self.steps * self.width
        self.keys = emit.local(size, "best_keys", rows.key)
        self.places = emit.local(size, "best_places", rows.key)

    def select(self, start: Index, result: Index) -> Stmt:
        """Finds a row's best elements and stores their places."""
        rows = self.rows
        worst = tirx.const(-1 - least_key(rows.key), rows.key)
        size = int(self.keys.shape[0])

        def blank(first: Index, width: int) -> Stmt:
            none = emit.splat(tirx.const(0, rows.key), width)
            stores = [emit.store(self.keys, emit.splat(worst, width), [first], width)]
            return emit.seq([*stores, emit.store(self.places, none, [first], width)])

        def begin(e: Index) -> Stmt:
            key = tirx.Var("key", rows.key)
            return emit.seq([tirx.Bind(key, rows.keys(start, e)), self._put(key, rows.places(e, 1), e)])

        def is_better(key: Expr) -> Expr:
            return key < emit.load(self.keys, [rows.count])

        body = [
            emit.in_vectors(size, (self.width, 1), blank),
            emit.store(self.keys, tirx.const(least_key(rows.key), rows.key), [0]),
            emit.loop(rows.count, begin),
        ]
        if rows.axis > rows.count:
            body.append(rows.better(start, rows.count, is_better, self._put))
        return emit.allocate([self.keys, self.places], [*body, rows.write(result, self.places, 1)])

    def _put(self, key: Expr, place: Expr, held: Index | None = None) -> Stmt:
        """Puts an element behind those that are as good; `held` is how many the list has, None if it is full."""
        return emit.loop(self.steps, lambda step: self._move(key, place, self.steps - 1 - step, held))

    def _move(self, key: Expr, place: Expr, step: Index, held: Index | None) -> Stmt:
        """Moves one vector of the list, the last first: each is read before the one before it is written."""
        width = self.width
        first = step * width + 1
        kind = self.rows.key if width == 1 else f"{self.rows.key}x{width}"
        new, here, before = emit.splat(key, width), tirx.Var("here", kind), tirx.Var("before", kind)
        comes, moves = new < here, new < before
        if held is not None:
            # The places behind the last are empty, whatever they hold.
            number = self.rows.places(first - 1, width)
            end = emit.splat(self.rows.places(held, 1), width)
            comes, moves = tirx.Or(comes, number >= end), tirx.Or(moves, number > end)

        def chosen(old: Expr, moved: Expr, added: Expr) -> Expr:
            return tirx.Select(moves, moved, tirx.Select(comes, added, old))

        old, moved = (emit.load(self.places, [at], width) for at in (first, first - 1))
        return emit.seq(
            [
                tirx.Bind(here, emit.load(self.keys, [first], width)),
                tirx.Bind(before, emit.load(self.keys, [first - 1], width)),
                emit.store(self.keys, chosen(here, before, new), [first], width),
                emit.store(self.places, chosen(old, moved, emit.splat(place, width)), [first], width),
            ]
        )
