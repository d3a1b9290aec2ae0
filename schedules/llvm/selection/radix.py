"""Many of a row's elements, or all, sorted by radix: no comparisons, so no branch is mispredicted.

Elements better than the worst that is still wanted are collected. Whenever there is no room for a further block, what
was collected is sorted, and only as many are kept as are wanted: each time the limit becomes stricter.

Each pass sorts by eight bits of the key, the lowest first, and keeps the order of equal ones, so that of equal elements
the first comes first.
"""

from __future__ import annotations

from tvmopt.schedules.dtypes import dtype_of
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Buffer, Expr, Index, Stmt
from tvmopt.schedules.llvm.selection.rows import BLOCK, Rows

tirx = lazily("tvm.tirx")

BITS = 8
BUCKETS = 1 << BITS
SPARE = 4 * BUCKETS
"""Least room for elements that turn out not to be wanted: sorting also costs a step for each bucket."""


class Sorter:
    """A list of keys and their places, and what sorting it needs.

    Attributes:
        kind: the type of both.
        key_list: the keys.
        place_list: the places.
        buffers: the memory of it all, to be allocated.
    """

    def __init__(self, room: int, kind: str, lanes: int) -> None:
        self.kind, self.lanes = kind, lanes
        self.passes = 8 * dtype_of(kind).nbytes // BITS
        self.keys = tuple(emit.local(room, name, kind) for name in ("keys", "sorted_keys"))
        self.places = tuple(emit.local(room, name, kind) for name in ("places", "sorted_places"))
        self.counts = emit.local(self.passes * BUCKETS, "counts", "int32")
        self.key_list, self.place_list = self.keys[0], self.places[0]
        self.buffers = (*self.keys, *self.places, self.counts)

    def sort(self, size: Index) -> list[Stmt]:
        """Sorts the first `size` of the list; passes are even in number, so they end where they began."""

        def clear(first: Index, width: int) -> Stmt:
            return emit.store(self.counts, emit.splat(emit.const(0, "int32"), width), [first], width)

        def count(e: Index) -> Stmt:
            key = tirx.Var("key", self.kind)
            return emit.seq([tirx.Bind(key, emit.load(self.key_list, [e])), *(one(key, i) for i in range(self.passes))])

        def one(key: Expr, number: int) -> Stmt:
            bucket = tirx.Var("bucket", "int32")
            more = emit.store(self.counts, emit.load(self.counts, [bucket]) + 1, [bucket])
            return emit.seq([tirx.Bind(bucket, self._bucket(key, number)), more])

        # Another number of elements may come out of the buffer that holds it, while they are sorted.
        total = tirx.Var("total", "int32")
        counted = [emit.in_vectors(self.passes * BUCKETS, (self.lanes, 1), clear), emit.loop(total, count)]
        return [
            tirx.Bind(total, tirx.convert(size)),
            *counted,
            *(self._pass(number, total) for number in range(self.passes)),
        ]

    def _pass(self, number: int, size: Index) -> Stmt:
        source, result = number % 2, 1 - number % 2
        before = emit.local(1, "before", "int32")

        def begin(bucket: Index) -> Stmt:
            held = tirx.Var("held", "int32")
            first = emit.load(before, [0])
            return emit.seq(
                [
                    tirx.Bind(held, emit.load(self.counts, [number * BUCKETS + bucket])),
                    emit.store(self.counts, first, [number * BUCKETS + bucket]),
                    emit.store(before, first + held, [0]),
                ]
            )

        def move(e: Index) -> Stmt:
            key, bucket = tirx.Var("key", self.kind), tirx.Var("bucket", "int32")
            place = tirx.Var("place", "int32")
            return emit.seq(
                [
                    tirx.Bind(key, emit.load(self.keys[source], [e])),
                    tirx.Bind(bucket, self._bucket(key, number)),
                    tirx.Bind(place, emit.load(self.counts, [bucket])),
                    emit.store(self.counts, place + 1, [bucket]),
                    emit.store(self.keys[result], key, [place]),
                    emit.store(self.places[result], emit.load(self.places[source], [e]), [place]),
                ]
            )

        first = emit.store(before, emit.const(0, "int32"), [0])
        return emit.allocate([before], [first, emit.loop(BUCKETS, begin), emit.loop(size, move)])

    def _bucket(self, key: Expr, number: int) -> Expr:
        """The place of a key's count for a pass. Negative keys come before others."""
        kind = self.kind
        bits = tirx.shift_right(key, tirx.const(BITS * number, kind)) if number else key
        digit: Buffer = tirx.bitwise_and(bits, tirx.const(BUCKETS - 1, kind))
        if number == self.passes - 1:
            digit = tirx.bitwise_xor(digit, tirx.const(BUCKETS // 2, kind))
        digit = digit if kind == "int32" else digit.astype("int32")
        return digit + number * BUCKETS


class RadixSort:
    """The collection of one row."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        room = rows.count + max(rows.count, SPARE)
        self.all = rows.axis <= room + BLOCK
        self.room = rows.axis if self.all else room + BLOCK
        self.sorter = Sorter(self.room, rows.key, rows.lanes)
        self.number = emit.local(1, "number", "int32")

    def select(self, start: Index, result: Index) -> Stmt:
        """Finds a row's best elements and stores their places."""
        rows = self.rows
        if self.all:
            collected = [
                rows.load(start, self.sorter.key_list, 0, rows.axis),
                self._all_places(),
                *self.sorter.sort(rows.axis),
            ]
        else:
            collected = self._collect(start)
        buffers = (*self.sorter.buffers, self.number)
        return emit.allocate(buffers, [*collected, rows.write(result, self.sorter.place_list, 0)])

    def _all_places(self) -> Stmt:
        def some(first: Index, width: int) -> Stmt:
            return emit.store(self.sorter.place_list, self.rows.places(first, width), [first], width)

        return emit.in_vectors(self.rows.axis, (self.rows.lanes, 1), some)

    def _collect(self, start: Index) -> list[Stmt]:
        rows, limit, full = self.rows, emit.local(1, "limit", self.rows.key), emit.local(1, "full", "int32")
        zero, number = emit.const(0, "int32"), emit.load(self.number, [0])

        def is_within(key: Expr) -> Expr:
            return tirx.Or(key < emit.load(limit, [0]), tirx.EQ(emit.load(full, [0]), zero))

        def take(key: Expr, place: Expr) -> Stmt:
            stores = [
                emit.store(self.sorter.key_list, key, [number]),
                emit.store(self.sorter.place_list, place, [number]),
            ]
            return emit.seq([*stores, emit.store(self.number, number + 1, [0])])

        def keep() -> Stmt:
            kept = [
                *self.sorter.sort(number),
                emit.store(self.number, emit.const(rows.count, "int32"), [0]),
                emit.store(limit, emit.load(self.sorter.key_list, [rows.count - 1]), [0]),
                emit.store(full, emit.const(1, "int32"), [0]),
            ]
            return tirx.IfThenElse(number > self.room - BLOCK, emit.seq(kept), None)

        return [
            tirx.AllocBuffer(limit),
            tirx.AllocBuffer(full),
            emit.store(limit, tirx.const(0, rows.key), [0]),
            emit.store(full, zero, [0]),
            emit.store(self.number, zero, [0]),
            rows.better(start, 0, is_within, take, keep),
            *self.sorter.sort(number),
        ]
