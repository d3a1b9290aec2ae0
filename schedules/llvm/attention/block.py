"""What the parts of attention's loop nest share: a task's queries, and what it keeps for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvmopt.schedules.compute.attention import Place
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Expr, Index, Stmt
from tvmopt.schedules.target import Target

tirx = lazily("tvm.tirx")

UNROLL = 4


def query_lanes(queries: int, target: Target) -> int:
    """How many queries a vector holds: as many as fit, fewer only if there are not half as many."""
    return min(target.lanes(FLOAT32), 1 << (queries - 1).bit_length())


def key_rows(vectors: int, target: Target) -> int:
    """How many keys a tile of the first product has: as many as leave registers for the queries and a key."""
    return max(1, (target.registers - 1 - vectors) // vectors)


@dataclass(frozen=True, slots=True)
class Block:
    """The queries of a task.

    Attributes:
        batch: index of each batch dimension.
        first: the first query.
        lanes: queries of a vector.
        vectors: how many vectors of queries.
        tail: how many queries the last vector has; 0 if it is full.
    """

    batch: tuple[Index, ...]
    first: Index
    lanes: int
    vectors: int
    tail: int

    @property
    def size(self) -> int:
        """How many queries its vectors hold."""
        return self.vectors * self.lanes

    @property
    def present(self) -> int:
        """How many of them exist."""
        return self.size - self.lanes + self.tail if self.tail else self.size

    def base(self, place: Place) -> Index:
        """Where an operand's matrix for these queries begins."""
        return place.start + sum(index * stride for index, stride in zip(self.batch, place.batch, strict=True))


@dataclass(frozen=True, slots=True)
class Memory:
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


def vector_type(lanes: int) -> str:
    """TVM's name for a vector of float32."""
    return "float32" if lanes == 1 else f"float32x{lanes}"


def unrolled(extent: int, step: Callable[[Index], list[Stmt]], name: str) -> Stmt:
    """A loop over `step`, some of whose rounds are written one after another."""

    def several(first: Index, count: int) -> Stmt:
        return emit.seq(statement for u in range(count) for statement in step(first + u))

    return emit.split_loop(extent, min(UNROLL, extent), several, name)


def gathered(elements: list[Expr], lanes: int) -> Expr:
    """The scalars as a vector, filled up with zeros."""
    if lanes == 1:
        return elements[0]
    zeros = [emit.const(0.0)] * (lanes - len(elements))
    return tirx.Shuffle([*elements, *zeros], list(range(lanes)))
