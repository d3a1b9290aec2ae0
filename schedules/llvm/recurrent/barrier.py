"""Threads that run a loop side by side and wait for each other in every round, without a launch for each round.

The runtime's own barrier yields the processor as soon as one thread waits. If another program wants it, each round then
costs one of the scheduler's time slices, milliseconds instead of microseconds. Here, threads watch each other's marks
instead, and yield only when that takes unusually long. A mark belongs to a piece of work, not to a thread: with fewer
threads than planned, down to one, every mark is still set.
"""

from __future__ import annotations

from collections.abc import Callable

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt
from tvmopt.schedules.target import Target

tirx = lazily("tvm.tirx")

LINE = 16
"""Distance between marks, in int32 elements: each has its own cache line."""
PATIENCE = 2000
"""How often a thread looks before it yields the processor, each time after a pause of some ten nanoseconds."""
PAUSE: dict[str, tuple[str, tuple[int, ...]]] = {
    "x86_64": ("llvm.x86.sse2.pause", ()),
    "aarch64": ("llvm.aarch64.hint", (1,)),
    "armv7l": ("llvm.arm.hint", (1,)),
}
"""By architecture, LLVM's intrinsic for waiting in a loop and its operands."""
FENCE: dict[str, tuple[str, tuple[int, ...]]] = {
    "x86_64": ("llvm.x86.sse.sfence", ()),
    "aarch64": ("llvm.aarch64.dmb", (11,)),
    "armv7l": ("llvm.arm.dmb", (11,)),
}
"""By architecture, what orders memory accesses. x86 preserves their order; there it keeps LLVM from changing it."""


class Meeting:
    """A region of code that all threads run, in which they divide work and wait for each other.

    Args:
        pieces: how many pieces each round's work is divided into.
        target: the target whose instructions are used.
    """

    def __init__(self, pieces: int, target: Target) -> None:
        self.pieces = pieces
        self.pause, self.fence = (_instruction(*table[target.arch]) for table in (PAUSE, FENCE))
        self.marks = emit.local(pieces * LINE, "marks", "int32")
        self.looks = emit.local(1, "looks", "int32")

    def region(self, body: Stmt) -> Stmt:
        """`body`, run by all threads from its beginning; they do different work only within `round_of`."""
        zeros = emit.loop(self.pieces, lambda piece: self._mark(piece, 0))
        body = emit.allocate([self.looks], [body])
        launched = tirx.AttrStmt(emit.const(0, "int32"), emit.LAUNCH_POINT, emit.const(1, "int32"), body)
        return emit.allocate([self.marks], [zeros, launched])

    def round_of(self, number: Index, work: Callable[[Index], Stmt]) -> Stmt:
        """Runs all pieces of one round's work; threads leave only after every piece is done.

        Args:
            number: number of the round; positive, and larger than the previous round's.
            work: returns the statement of a piece.
        """

        def piece(index: Index) -> Stmt:
            return emit.seq([work(index), self.fence, self._mark(index, number)])

        def wait(index: Index) -> Stmt:
            look = emit.store(self.looks, emit.load(self.looks, [0]) + 1, [0])
            give_away = tirx.Evaluate(tirx.call_extern("int32", "sched_yield"))
            impatient = tirx.IfThenElse(emit.load(self.looks, [0]) > PATIENCE, give_away, None)
            watched = emit.load(self.marks, [index * LINE]) < number
            loop = tirx.While(watched, emit.seq([self.pause, look, impatient]))
            return emit.seq([emit.store(self.looks, emit.const(0, "int32"), [0]), loop])

        return emit.seq([emit.parallel(self.pieces, piece), emit.loop(self.pieces, wait), self.fence])

    def _mark(self, piece: Index, number: Index) -> Stmt:
        return emit.store(self.marks, tirx.convert(number), [piece * LINE])


def _instruction(name: str, operands: tuple[int, ...]) -> Stmt:
    values = [tirx.const(value, "int32") for value in operands]
    return tirx.Evaluate(tirx.call_llvm_intrin("void", name, *values))
