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

    Each is put at the lowest offset that is free during its life, in several orders, of which the best is kept: the
    largest first, and those of the call that needs most memory first (greedy by size and by breadth: Pisarchyk and Lee,
    "Efficient Memory Management for Deep Neural Net Inference", 2020); each also with the inputs before all others.
    Inputs live throughout: a run may be repeated.
    """
    by_size = sorted(_lives(program), key=lambda life: (-life.nbytes, life.first))
    orders = [by_size, _by_breadth(by_size)]
    orders += [sorted(order, key=lambda life: program.places[life.buffer] != INPUT) for order in orders]
    arenas = (_placed(order, len(program.places)) for order in orders)
    return min(arenas, key=lambda arena: arena.nbytes)


def _placed(order: Sequence[_Life], count: int) -> Arena:
    """The memory plan of `count` buffers that puts them in place one after the other."""
    placed: list[tuple[_Life, int]] = []
    offsets: list[int | None] = [None] * count
    for life in order:
        taken = sorted((start, start + other.nbytes) for other, start in placed if life.meets(other))
        offset = _first_gap(taken, life.nbytes)
        placed.append((life, offset))
        offsets[life.buffer] = offset
    return Arena(tuple(offsets), max((start + life.nbytes for life, start in placed), default=0))


def _by_breadth(lives: Sequence[_Life]) -> list[_Life]:
    """Those that live at the call with the most bytes first, then those at the next, each time in the given order."""
    breadths = {time: sum(x.nbytes for x in lives if x.first <= time <= x.last) for time in {x.first for x in lives}}
    ordered: dict[int, _Life] = {}
    for time in sorted(breadths, key=lambda time: -breadths[time]):
        ordered.update((life.buffer, life) for life in lives if life.first <= time <= life.last)
    return list(ordered.values())


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
