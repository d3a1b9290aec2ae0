"""An extent cut into pieces of nearly one size.

Whole steps and a remainder would leave a last tile of a few accumulators, which wait for the latency of the
multiply-add: 49 pixels by twelve are better cut into four tiles of ten and one of nine. Either way takes two pieces of
code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt

Piece = Callable[[Index, int], Stmt]
"""What is done with a piece: where it begins, how long it is."""


@dataclass(frozen=True, slots=True)
class Cut:
    """First `count` pieces of `size`, then `rests` pieces that are one shorter.

    Attributes:
        size: of the longer pieces.
        count: how many of them, at least one.
        rests: how many of the shorter ones.
    """

    size: int
    count: int
    rests: int

    @staticmethod
    def of(extent: int, step: int) -> Cut:
        """As few pieces as there can be of at most `step`, as equal as possible."""
        pieces = math.ceil(extent / step)
        size, longer = divmod(extent, pieces)
        return Cut(size + 1, longer, pieces - longer) if longer else Cut(size, pieces, 0)

    @property
    def pieces(self) -> int:
        """How many in all."""
        return self.count + self.rests

    def sizes(self) -> list[tuple[int, int]]:
        """How often which size occurs: ``[(size, count), …]``."""
        return [(self.size, self.count), (self.size - 1, self.rests)][: 2 if self.rests else 1]

    def each(self, body: Piece, name: str = "t") -> Stmt:
        """Does `body` for all pieces, one behind the other."""
        parts = [emit.loop(self.count, lambda i: body(i * self.size, self.size), name)]
        if self.rests:
            start, size = self.count * self.size, self.size - 1
            parts.append(emit.loop(self.rests, lambda i: body(start + i * size, size), name))
        return emit.seq(parts)

    def piece(self, index: Index, body: Piece) -> Stmt:
        """Does `body` for the piece of that number."""

        def some(shorter: bool) -> Stmt:
            if not shorter:
                return body(index * self.size, self.size)
            # As if all before it were short, and one more for each that is not.
            return body(index * (self.size - 1) + self.count, self.size - 1)

        return emit.choose(index, self.count, self.rests > 0, some)
