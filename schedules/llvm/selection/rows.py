"""Elements along an axis, as the keys that they are sorted by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Expr, Index, Stmt
from tvmopt.schedules.llvm.parts.operands import Operand, operands_of
from tvmopt.schedules.llvm.selection.keys import KEYS, key_of
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

BLOCK = 64
"""Elements that are looked at together."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of elements ``(outer, axis, inner)`` of any type, and a result ``(outer, count, inner)`` of places.

    A row is at one outer and one inner index. Methods that read or write one need `start` or `result`: where the row
    begins in the data or in the result, in elements.

    Attributes:
        data: the elements.
        result: their places.
        axis: elements of a row.
        inner: the distance between neighbours.
        count: how many of a row's elements are wanted.
        largest: whether the largest elements are the best, else the smallest.
        lanes: keys in a vector.
    """

    data: Operand
    result: Operand
    axis: int
    inner: int
    count: int
    largest: bool
    lanes: int

    @staticmethod
    def of(workload: Workload, target: Target) -> Rows:
        """The rows of a ``top_k``."""
        (data,), result = operands_of(workload)
        _, axis, inner = data.tensor.shape
        largest = bool(workload.attr("largest"))
        return Rows(data, result, axis, inner, result.tensor.shape[1], largest, target.lanes(KEYS[data.tensor.dtype]))

    @property
    def dtype(self) -> str:
        """The type of the elements."""
        return self.data.tensor.dtype

    @property
    def key(self) -> str:
        """The type of the keys; places are of the same type inside the kernel."""
        return KEYS[self.dtype]

    def keys(self, start: Index, first: Index, lanes: int = 1) -> Expr:
        """The keys of `lanes` elements of a row from `first` on; several only if they are neighbours in memory."""
        value = emit.load(self.data.view, [0, 0, 0, 0, start + first * self.inner], lanes)
        return key_of(value, self.dtype, lanes, self.largest)

    def load(self, start: Index, buffer: emit.Buffer, first: Index, size: int) -> Stmt:
        """Stores the keys of `size` elements of a row, from `first` on, at the beginning of `buffer`."""

        def some(place: Index, width: int) -> Stmt:
            return emit.store(buffer, self.keys(start, first + place, width), [place], width)

        return emit.in_vectors(size, (self.lanes, 1) if self.inner == 1 else (1,), some)

    def places(self, first: Index, lanes: int) -> Expr:
        """Neighbouring places along a row."""
        place = tirx.Cast(self.key, tirx.convert(first))
        return place if lanes == 1 else tirx.Ramp(place, tirx.const(1, self.key), lanes)

    def write(self, result: Index, buffer: emit.Buffer, shift: int) -> Stmt:
        """Stores the row's result: the places in `buffer` from `shift` on."""

        def some(first: Index, width: int) -> Stmt:
            value = emit.load(buffer, [shift + first], width)
            wide = value if self.key == "int64" else value.astype("int64" if width == 1 else f"int64x{width}")
            return emit.store(self.result.view, wide, [0, 0, 0, 0, result + first * self.inner], width)

        return emit.in_vectors(self.count, (self.lanes, 1) if self.inner == 1 else (1,), some)

    def better(
        self,
        start: Index,
        first: int,
        limit: Callable[[Expr], Expr],
        take: Callable[[Expr, Expr], Stmt],
        then: Callable[[], Stmt] = lambda: emit.seq([]),
    ) -> Stmt:
        """Takes the elements of a row that are within a limit, block by block: most blocks have none.

        Args:
            start: where the row begins.
            first: the first element to look at.
            limit: whether a key is within the limit, which may change with each element that is taken.
            take: what to do with a key and its place.
            then: what to do after each whole block.
        """
        block = emit.local(BLOCK, "block", self.key)
        least = emit.local(self.lanes, "least", self.key)

        def element(place: Index, e: Index) -> Stmt:
            key = tirx.Var("key", self.key)
            taken = tirx.IfThenElse(limit(key), take(key, self.places(place + e, 1)), None)
            return emit.seq([tirx.Bind(key, emit.load(block, [e])), taken])

        def whole(number: Index) -> Stmt:
            place = first + number * BLOCK
            held = emit.load(block, [0], self.lanes)
            for part in range(1, BLOCK // self.lanes):
                held = tirx.min(held, emit.load(block, [part * self.lanes], self.lanes))
            best = tirx.Var("best", self.key)
            any_taken = tirx.IfThenElse(limit(best), emit.loop(BLOCK, lambda e: element(place, e)), None)
            return emit.seq(
                [
                    self.load(start, block, place, BLOCK),
                    emit.store(least, held, [0], self.lanes),
                    tirx.Bind(best, _least(least, self.lanes)),
                    any_taken,
                    then(),
                ]
            )

        blocks, rest = divmod(self.axis - first, BLOCK)
        body = [emit.loop(blocks, whole)] if blocks else []
        if rest:
            place = first + blocks * BLOCK
            body += [self.load(start, block, place, rest), emit.loop(rest, lambda e: element(place, e))]
        return emit.allocate([block, least], body)


def _least(buffer: emit.Buffer, lanes: int) -> Any:
    values = [emit.load(buffer, [lane]) for lane in range(lanes)]
    while len(values) > 1:
        half = len(values) // 2
        values = [tirx.min(a, b) for a, b in zip(values[:half], values[half:], strict=True)]
    return values[0]
