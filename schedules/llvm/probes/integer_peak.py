"""A kernel that does nothing but multiply and add bytes in registers: its speed is the machine's peak of integers."""

from __future__ import annotations

from typing import Any

from tvmopt.schedules.llvm.parts.products import multiply_add
from tvmopt.schedules.llvm.parts.quads import QUAD, SUMS
from tvmopt.schedules.llvm.probes.peak import STEPS, in_registers
from tvmopt.schedules.target import Target


def integer_peak_kernel(target: Target, steps: int = STEPS) -> tuple[Any, int, int]:
    """The kernel, the int32 elements of its only parameter, and its operations on integers, a multiply-add as two.

    Each vector holds quads of bytes.

    Args:
        target: its threads, vectors and registers; it multiplies bytes (`quads.multiplies_bytes`).
        steps: how long each thread runs, in rounds of `peak.UNROLL` multiply-adds of every register.
    """
    function, size, additions = in_registers(
        target, steps, SUMS, 0, lambda sums, data, weights: multiply_add(sums, data, weights, target, fits=True)
    )
    return function, size, 2 * QUAD * additions
