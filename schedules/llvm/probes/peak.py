"""A kernel that does nothing but multiply-add in registers: its speed is the machine's peak."""

from __future__ import annotations

from typing import Any

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.register_tile import Accumulators
from tvmopt.schedules.target import Target

STEPS = 20_000
UNROLL = 16


def peak_kernel(target: Target, steps: int = STEPS) -> tuple[Any, int, int]:
    """The kernel, the floats of its only parameter, and its floating-point operations.

    Each thread multiplies and adds vectors that it has loaded once; the parameter takes the results, which
    serve only to keep the work from being optimised away.

    Args:
        target: its threads, vectors and registers.
        steps: how long each thread runs, in rounds of `UNROLL` multiply-adds of every register.
    """
    from tvm import tirx

    lanes, vectors = target.lanes(FLOAT32), target.registers - 4
    size = target.threads * (vectors + 2) * lanes
    memory = tirx.decl_buffer((size,), "float32", name="memory")

    def thread(index: emit.Index) -> emit.Stmt:
        accumulators = Accumulators(1, vectors, lanes)
        factors = emit.local(2 * lanes, "factors")
        first = index * ((vectors + 2) * lanes)

        def step(_: emit.Index) -> emit.Stmt:
            x, y = (emit.load(factors, [i * lanes], lanes) for i in range(2))
            body = [accumulators.set(0, v, accumulators.value(0, v) * x + y) for v in range(vectors)]
            return emit.seq(body * UNROLL)

        loads = [
            emit.store(factors, emit.load(memory, [first + (vectors + i) * lanes], lanes), [i * lanes], lanes)
            for i in range(2)
        ]
        stores = [emit.store(memory, accumulators.value(0, v), [first + v * lanes], lanes) for v in range(vectors)]
        body = [tirx.AllocBuffer(factors), *loads, *accumulators.fill(1.0), emit.loop(steps, step, "step"), *stores]
        return accumulators.run(body)

    function = emit.kernel([memory], emit.parallel(target.threads, thread), target.threads)
    return function, size, 2 * target.threads * vectors * lanes * steps * UNROLL
