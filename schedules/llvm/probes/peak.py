"""A kernel that does nothing but multiply-add in registers: its speed is the machine's peak."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.register_tile import Accumulators
from tvmopt.schedules.target import Target

STEPS = 20_000
UNROLL = 16

MultiplyAdd = Callable[[emit.Expr, emit.Expr, emit.Expr], emit.Expr]
"""The new value of a vector of sums, from its value and two factors."""


def peak_kernel(target: Target, steps: int = STEPS) -> tuple[Any, int, int]:
    """The kernel, the floats of its only parameter, and its floating-point operations.

    Args:
        target: its threads, vectors and registers.
        steps: how long each thread runs, in rounds of `UNROLL` multiply-adds of every register.
    """
    function, size, additions = in_registers(target, steps, FLOAT32, 1.0, lambda value, x, y: value * x + y)
    return function, size, 2 * additions


def in_registers(
    target: Target, steps: int, dtype: str, initial: float, multiply_add: MultiplyAdd
) -> tuple[Any, int, int]:
    """The kernel, the elements of its only parameter, and how many elements of sums it adds to.

    Each thread multiplies and adds vectors that it has loaded once; the parameter takes the results, which
    serve only to keep the work from being optimised away.

    Args:
        target: as `peak_kernel`.
        steps: as `peak_kernel`.
        dtype: of the sums and of the parameter.
        initial: value of the sums before the first step.
        multiply_add: one step of a vector of sums.
    """
    from tvm import tirx

    lanes, vectors = target.lanes(dtype), target.registers - 4
    size = target.threads * (vectors + 2) * lanes
    memory = tirx.decl_buffer((size,), dtype, name="memory")

    def thread(index: emit.Index) -> emit.Stmt:
        sums = Accumulators(1, vectors, lanes, dtype)
        factors = emit.local(2 * lanes, "factors", dtype)
        first = index * ((vectors + 2) * lanes)

        def step(_: emit.Index) -> emit.Stmt:
            x, y = (emit.load(factors, [i * lanes], lanes) for i in range(2))
            body = [sums.set(0, v, multiply_add(sums.value(0, v), x, y)) for v in range(vectors)]
            return emit.seq(body * UNROLL)

        loads = [
            emit.store(factors, emit.load(memory, [first + (vectors + i) * lanes], lanes), [i * lanes], lanes)
            for i in range(2)
        ]
        stores = [emit.store(memory, sums.value(0, v), [first + v * lanes], lanes) for v in range(vectors)]
        body = [tirx.AllocBuffer(factors), *loads, *sums.fill(initial), emit.loop(steps, step, "step"), *stores]
        return sums.run(body)

    function = emit.kernel([memory], emit.parallel(target.threads, thread), target.threads)
    return function, size, target.threads * vectors * lanes * steps * UNROLL
