"""A kernel that does little but read and write memory: its speed is the machine's bandwidth."""

from __future__ import annotations

from typing import Any

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.target import Target

ARRAYS = 3
"""Arrays that the kernel passes over, two read and one written, as in the triad of STREAM."""

SCALE = 0.5
UNROLL = 4
FLOAT_BYTES = 4


def triad_kernel(target: Target, nbytes: int, sweeps: int) -> tuple[Any, int, int]:
    """The kernel, the floats of each of its three parameters, and the bytes that it reads and writes.

    Each thread passes `sweeps` times over its part and computes ``a = b + SCALE · c``; parameters are b, c, a.
    Bytes are counted as STREAM counts them (McCalpin, "Memory Bandwidth and Machine Balance in Current High Performance
    Computers", 1995): reading a line into the cache before overwriting it does not count.

    Args:
        target: its threads and vectors.
        nbytes: the working set: all arrays together. Rounded down to whole vectors, at least one for each thread.
        sweeps: how often a call passes over it.
    """
    from tvm import tirx

    lanes = target.lanes(FLOAT32)
    step = UNROLL * lanes
    steps = max(1, nbytes // (ARRAYS * FLOAT_BYTES * target.threads * step))
    size = target.threads * steps * step
    left, right, made = (tirx.decl_buffer((size,), "float32", name=name) for name in ("left", "right", "made"))

    def thread(index: emit.Index) -> emit.Stmt:
        def vectors(place: emit.Index) -> emit.Stmt:
            starts = [index * (steps * step) + place * step + vector * lanes for vector in range(UNROLL)]
            scale = emit.splat(emit.const(SCALE), lanes)
            return emit.seq(
                emit.store(
                    made, emit.load(left, [start], lanes) + scale * emit.load(right, [start], lanes), [start], lanes
                )
                for start in starts
            )

        return emit.loop(sweeps, lambda _: emit.loop(steps, vectors, "place"), "sweep")

    function = emit.kernel([left, right, made], emit.parallel(target.threads, thread), target.threads)
    return function, size, ARRAYS * FLOAT_BYTES * size * sweeps
