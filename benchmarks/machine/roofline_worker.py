"""Measures this machine's roofline: multiply-adds in registers, and a triad at working sets of each memory level.

Runs as ``python -m tvmopt.benchmarks.machine.roofline_worker THREADS``, in its own process because TVM's runtime fixes
its number of threads once, and returns ``{"peak_flops": …, "peak_iops": …, "bandwidth":
[[bytes, bytes/s], …], "settled": …}``; ``peak_iops`` is null where bytes have no kernels.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tvmopt.pipeline.devices.facts import Facts
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.devices.serve import Server
from tvmopt.schedules.llvm.parts.quads import SUMS, multiplies_bytes
from tvmopt.schedules.target import Target, parse_target

FEWEST_ROUNDS, MOST_ROUNDS = 6, 16
AGREEMENT = 0.05
"""The best two rounds of a kernel may differ by at most this fraction to be trusted."""

UNDISTURBED = 0.9
"""The minimum share of its threads' time that a kernel must run; waiting threads spin, so they count as running."""

SAMPLES = 5
SAMPLE_BYTES = 2**29
"""Minimum bytes that one sample moves, so that the cost of starting threads is negligible: half a millisecond in the
fastest cache."""

LARGEST_SET = 2**30
SMALLEST_MEMORY_SET = 2**28


@dataclass(frozen=True, slots=True, order=True)
class Round:
    """One measurement of a kernel.

    Attributes:
        rate: median of its calls: operations or bytes a second.
        share: the processor time of its threads as a fraction of the elapsed time: 1 on an idle machine.
    """

    rate: float
    share: float


@dataclass(frozen=True, slots=True)
class Level:
    """A level of memory.

    Attributes:
        capacity: its size in bytes for all threads together.
        working_set: the size in bytes at which it is measured.
    """

    capacity: int
    working_set: int


def data_caches(target: Target, facts: Facts) -> tuple[tuple[int, int], ...]:
    """Size in bytes and number of sharing CPUs of each data cache of a core, the smallest first.

    If the system does not report them: the target's two caches, unshared.
    """
    found = tuple((cache.size_bytes, cache.shared_by) for cache in facts.caches)
    return found or ((target.l1_bytes, 1), (target.l2_bytes, 1))


def levels(target: Target, facts: Facts) -> tuple[Level, ...]:
    """The caches and the memory, each with a working set that fits in it but not in the level before.

    A working set takes half of a cache, since a set that fills it is partly evicted; and at most eight times the level
    before, since a far larger cache is often shared with other programs, which may occupy more than half of it.
    """
    found: list[Level] = []
    busy = min(target.threads, facts.threads)
    for size, shared in data_caches(target, facts):
        capacity = size * -(-busy // shared)
        limit = 8 * found[-1].capacity if found else capacity
        found.append(Level(capacity, min(capacity // 2, limit)))
    memory = facts.memory_bytes
    beyond = max(2 * found[-1].capacity, SMALLEST_MEMORY_SET)
    return (*found, Level(memory, min(beyond, LARGEST_SET, memory // 8)))


def measure(target: Target, facts: Facts) -> dict[str, Any]:
    """The roofline of this machine, described by `facts`, at the target's threads, and whether it has settled.

    No disturbance makes a kernel faster than the machine allows, but many make it slower: another process, a low clock.
    Each kernel is therefore measured in several rounds, spread over time, and the best round counts. Within a round the
    median counts, since a single sample may be wrong in either direction. Rounds continue until the results settle.
    """
    memories, busy = levels(target, facts), min(target.threads, len(facts.usable_cores))
    integers = (_integer_peak(target, busy),) if multiplies_bytes(target) else ()
    kernels = (_peak(target, busy), *(_triad(target, level, busy) for level in memories), *integers)
    rounds: list[list[Round]] = [[] for _ in kernels]
    for done in range(MOST_ROUNDS):
        for kernel, found in zip(kernels, rounds, strict=True):
            if done < FEWEST_ROUNDS or not settled(found):
                found.append(kernel())
    peak, *best = (max(found).rate for found in rounds)
    peak_iops = best.pop() if integers else None
    bandwidth = [[level.capacity, rate] for level, rate in zip(memories, best, strict=True)]
    return {"peak_flops": peak, "peak_iops": peak_iops, "bandwidth": bandwidth, "settled": all(map(settled, rounds))}


def settled(rounds: Sequence[Round]) -> bool:
    """Whether the best two rounds of a kernel agree, and no other process took the processor from them.

    The second condition is needed because on a constantly busy machine rounds also agree, at a lower rate.
    """
    second, best = sorted(rounds)[-2:]
    return second.rate >= (1 - AGREEMENT) * best.rate and min(second.share, best.share) >= UNDISTURBED


def _peak(target: Target, busy: int) -> Callable[[], Round]:
    from tvmopt.schedules.llvm.probes.peak import peak_kernel

    function, size, flops = peak_kernel(target)
    return _timed(target, function, [np.full(size, 0.5, np.float32)], flops, busy)


def _integer_peak(target: Target, busy: int) -> Callable[[], Round]:
    from tvmopt.schedules.llvm.probes.integer_peak import integer_peak_kernel

    function, size, operations = integer_peak_kernel(target)
    return _timed(target, function, [np.ones(size, SUMS)], operations, busy)


def _triad(target: Target, level: Level, busy: int) -> Callable[[], Round]:
    from tvmopt.schedules.llvm.probes.bandwidth import ARRAYS, triad_kernel

    sweeps = -(-SAMPLE_BYTES // level.working_set)
    function, size, nbytes = triad_kernel(target, level.working_set, sweeps)
    return _timed(target, function, [np.full(size, 0.5, np.float32)] * ARRAYS, nbytes, busy)


def _timed(target: Target, function: Any, memory: Sequence[np.ndarray], amount: int, busy: int) -> Callable[[], Round]:
    """A function that measures a kernel once; `amount` is the work of one call, on `busy` cores."""
    import tvm

    from tvmopt.pipeline.compiler.build import kernel_library

    library = kernel_library({"kernel": function}, target)
    arrays = [tvm.runtime.tensor(array) for array in memory]
    timer = library.mod.time_evaluator("kernel", tvm.cpu(), number=1, repeat=SAMPLES)

    def measure_once() -> Round:
        began, worked = time.perf_counter(), time.process_time()
        median = statistics.median(timer(*arrays).results)
        share = (time.process_time() - worked) / (time.perf_counter() - began) / busy
        return Round(amount / median, share)

    return measure_once


def main() -> None:
    """Measures at the number of threads given on the command line, and sends the result."""
    server = Server()
    target = parse_target("llvm", int(sys.argv[1]))
    from tvmopt.pipeline.compiler.build import threads_environment
    from tvmopt.pipeline.support.tvm import import_compiler

    threads_environment(target.threads)
    import_compiler()
    server.give(measure(target, LOCAL.facts()))


if __name__ == "__main__":
    main()
