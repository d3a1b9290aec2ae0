"""A kernel that does nothing but multiply and add bytes in registers: its speed is the machine's peak of integers."""

from __future__ import annotations

from typing import Any

from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.products import multiply_add
from tvmopt.schedules.llvm.parts.quads import QUAD, SUMS
from tvmopt.schedules.llvm.parts.register_tile import Accumulators
from tvmopt.schedules.llvm.probes.peak import STEPS, UNROLL
from tvmopt.schedules.target import Target


def integer_peak_kernel(target: Target, steps: int = STEPS) -> tuple[Any, int, int]:
    """The kernel, the int32 elements of its only parameter, and its operations on integers, a multiply-add as two.

    Each thread multiplies quads of bytes that it has loaded once and adds them to its sums; the parameter takes the
    sums, which serve only to keep the work from being optimised away.

    Args:
        target: its threads, vectors and registers; it multiplies bytes (`quads.multiplies_bytes`).
        steps: how long each thread runs, in rounds of `UNROLL` multiply-adds of every register.
    """
    from tvm import tirx

    lanes, vectors = target.lanes(SUMS), target.registers - 4
    size = target.threads * (vectors + 2) * lanes
    memory = tirx.decl_buffer((size,), SUMS, name="memory")

    def thread(index: emit.Index) -> emit.Stmt:
        sums = Accumulators(1, vectors, lanes, SUMS)
        factors = emit.local(2 * lanes, "factors", SUMS)
        first = index * ((vectors + 2) * lanes)

        def step(_: emit.Index) -> emit.Stmt:
            data, weights = (emit.load(factors, [i * lanes], lanes) for i in range(2))
            body = [
                sums.set(0, v, multiply_add(sums.value(0, v), data, weights, target, fits=True)) for v in range(vectors)
            ]
            return emit.seq(body * UNROLL)

        loads = [
            emit.store(factors, emit.load(memory, [first + (vectors + i) * lanes], lanes), [i * lanes], lanes)
            for i in range(2)
        ]
        stores = [emit.store(memory, sums.value(0, v), [first + v * lanes], lanes) for v in range(vectors)]
        body = [tirx.AllocBuffer(factors), *loads, *sums.fill(0), emit.loop(steps, step, "step"), *stores]
        return sums.run(body)

    function = emit.kernel([memory], emit.parallel(target.threads, thread), target.threads)
    return function, size, 2 * QUAD * target.threads * vectors * lanes * steps * UNROLL
