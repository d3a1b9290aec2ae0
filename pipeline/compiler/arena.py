"""Places intermediate tensors in one block of memory: those that are never needed at the same time share space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvmopt.pipeline.artifact.native_library import ALIGNMENT
from tvmopt.pipeline.compiler.program import INPUT, WORK, Program


@dataclass(frozen=True, slots=True)
class Arena:
    """The memory plan.

    Attributes:
        offsets: the offset of each buffer in bytes; None for constants.
        nbytes: size of the block.
    """

    offsets: tuple[int | None, ...]
    nbytes: int


@dataclass(frozen=True, slots=True)
class _Life:
    """The lifetime of a buffer, from the first call that uses it to the last one."""

    buffer: int
    nbytes: int
    first: int
    last: int

    def meets(self, other: _Life) -> bool:
        """Whether both are needed at the same time."""
        return self.first <= other.last and other.first <= self.last


def plan_arena(program: Program) -> Arena:
    """Offsets of a program's inputs and intermediate tensors.

    The largest comes first, each at the lowest offset that is free during its life (greedy by size: Pisarchyk and Lee,
    "Efficient Memory Management for Deep Neural Net Inference", 2020). Inputs live throughout: a run may be repeated.
    """
    placed: list[tuple[_Life, int]] = []
    offsets: list[int | None] = [None] * len(program.places)
    for life in sorted(_lives(program), key=lambda life: (-life.nbytes, life.first)):
        taken = sorted((start, start + other.nbytes) for other, start in placed if life.meets(other))
        offset = _first_gap(taken, life.nbytes)
        placed.append((life, offset))
        offsets[life.buffer] = offset
    return Arena(tuple(offsets), max((start + life.nbytes for life, start in placed), default=0))


def _lives(program: Program) -> list[_Life]:
    end = len(program.calls)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for time, call in enumerate(program.calls):
        for view in call.arguments:
            first.setdefault(view.buffer, time)
            last[view.buffer] = time
    for view in program.outputs:
        first.setdefault(view.buffer, end)
        last[view.buffer] = end
    lives = []
    for buffer, (place, size) in enumerate(zip(program.places, program.sizes(), strict=True)):
        nbytes = -(-size // ALIGNMENT) * ALIGNMENT
        if place == INPUT:
            lives.append(_Life(buffer, nbytes, -1, end))
        elif place == WORK and buffer in first:
            lives.append(_Life(buffer, nbytes, first[buffer], last[buffer]))
    return lives


def _first_gap(taken: Sequence[tuple[int, int]], nbytes: int) -> int:
    offset = 0
    for start, stop in taken:
        if start - offset >= nbytes:
            break
        offset = max(offset, stop)
    return offset
