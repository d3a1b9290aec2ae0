"""An extent cut into pieces of nearly one size.

Whole steps and a remainder would leave a last tile with few accumulators, which wait for the latency of the
multiply-add: with steps of at most twelve, 49 pixels are better cut into four tiles of ten and one of nine. Either way
takes two pieces of code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt

Piece = Callable[[Index, int], Stmt]
"""Code for a piece, given where it begins and how long it is."""

TASK_ELEMENTS = 4096
"""About how many elements of short rows are worth a task."""


@dataclass(frozen=True, slots=True)
class Cut:
    """First `count` pieces of `size`, then `rests` pieces that are one shorter.

    Attributes:
        size: length of the longer pieces.
        count: how many of them, at least one.
        rests: how many of the shorter ones.
    """

    size: int
    count: int
    rests: int

    @staticmethod
    def of(extent: int, step: int) -> Cut:
        """The fewest possible pieces of at most `step`, as equal as possible."""
        pieces = math.ceil(extent / step)
        size, longer = divmod(extent, pieces)
        return Cut(size + 1, longer, pieces - longer) if longer else Cut(size, pieces, 0)

    @property
    def pieces(self) -> int:
        """How many pieces in all."""
        return self.count + self.rests

    def sizes(self) -> list[tuple[int, int]]:
        """The sizes, and how often each occurs: ``[(size, count), …]``."""
        return [(self.size, self.count), (self.size - 1, self.rests)][: 2 if self.rests else 1]

    def each(self, body: Piece, name: str = "t") -> Stmt:
        """`body` for all pieces, one after another."""
        parts = [emit.loop(self.count, lambda i: body(i * self.size, self.size), name)]
        if self.rests:
            start, size = self.count * self.size, self.size - 1
            parts.append(emit.loop(self.rests, lambda i: body(start + i * size, size), name))
        return emit.seq(parts)

    def piece(self, index: Index, body: Piece) -> Stmt:
        """`body` for the piece with number `index`."""

        def some(shorter: bool) -> Stmt:
            if not shorter:
                return body(index * self.size, self.size)
            # As if all pieces before it were short, plus one for each longer one.
            return body(index * (self.size - 1) + self.count, self.size - 1)

        return emit.choose(index, self.count, self.rests > 0, some)


def rows_in_tasks(rows: int, elements: int, threads: int, body: Callable[[Index], Stmt]) -> Stmt:
    """`body` for each of `rows`, divided among threads; short rows of `elements` share a task."""
    cut = Cut.of(rows, min(math.ceil(rows / threads), max(1, TASK_ELEMENTS // elements)))

    def some(first: Index, count: int) -> Stmt:
        return emit.loop(count, lambda i: body(first + i))

    return emit.parallel(cut.pieces, lambda index: cut.piece(index, some))
