"""Measures this machine's roofline: multiply-adds in registers, and a triad at working sets of each memory level.

Runs as ``python -m tvmopt.benchmarks.machine.roofline_worker THREADS``, in a process of its own because TVM's runtime
fixes its threads once, and gives ``{"peak_flops": …, "bandwidth": [[bytes, bytes/s], …], "settled":
…}``.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tvmopt.pipeline.devices.facts import Facts
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.devices.serve import Server
from tvmopt.schedules.target import Target, parse_target

FEWEST_ROUNDS, MOST_ROUNDS = 6, 16
AGREEMENT = 0.05
"""The best two rounds of a kernel that differ by no more than this part are believed."""

UNDISTURBED = 0.9
"""The share of its threads' time that a kernel must have run for; threads that wait for others spin."""

SAMPLES = 5
SAMPLE_BYTES = 2**29
"""Bytes that one sample moves at least, so that dividing the work among threads does not count: half a millisecond in
the fastest cache."""

LARGEST_SET = 2**30
SMALLEST_MEMORY_SET = 2**28


@dataclass(frozen=True, slots=True, order=True)
class Round:
    """A kernel measured once.

    Attributes:
        rate: median of its calls: operations or bytes a second.
        share: the processor time that its threads had, as a part of what they asked for: 1 on an idle machine.
    """

    rate: float
    share: float


@dataclass(frozen=True, slots=True)
class Level:
    """A level of memory.

    Attributes:
        capacity: bytes that all threads together have of it.
        working_set: bytes at which it is measured.
    """

    capacity: int
    working_set: int


def data_caches(target: Target, facts: Facts) -> tuple[tuple[int, int], ...]:
    """Size in bytes and number of CPUs that share it of each data cache of a core, the smallest first.

    Where the system does not tell, the target's two caches, shared by none.
    """
    found = tuple((cache.size_bytes, cache.shared_by) for cache in facts.caches)
    return found or ((target.l1_bytes, 1), (target.l2_bytes, 1))


def levels(target: Target, facts: Facts) -> tuple[Level, ...]:
    """The caches and the memory, each with a working set that lies in it but not in the one before.

    Half of a cache, since a set that fills it is evicted in part; of a cache that is far larger than the one before at
    most eight times that: it is often shared with others, who leave no half of it.
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
    """The roofline of the machine of `facts`, this one, at the target's threads, and whether it has settled.

    Nothing makes a kernel faster than the machine, but much makes it slower: another process, a low clock. So each
    kernel is measured in several rounds, apart from each other in time, and the best round counts. Within a round the
    median does, for a single sample may be wrong in either direction. Rounds go on until the measurement settles.
    """
    memories, busy = levels(target, facts), min(target.threads, len(facts.usable_cores))
    kernels = (_peak(target, busy), *(_triad(target, level, busy) for level in memories))
    rounds: list[list[Round]] = [[] for _ in kernels]
    for done in range(MOST_ROUNDS):
        for kernel, found in zip(kernels, rounds, strict=True):
            if done < FEWEST_ROUNDS or not settled(found):
                found.append(kernel())
    peak, *best = (max(found).rate for found in rounds)
    bandwidth = [[level.capacity, rate] for level, rate in zip(memories, best, strict=True)]
    return {"peak_flops": peak, "bandwidth": bandwidth, "settled": all(map(settled, rounds))}


def settled(rounds: Sequence[Round]) -> bool:
    """Whether the best two rounds of a kernel agree, and no other process took the processor from them.

    On a machine that is busy all the time, rounds agree as well: on what was left.
    """
    second, best = sorted(rounds)[-2:]
    return second.rate >= (1 - AGREEMENT) * best.rate and min(second.share, best.share) >= UNDISTURBED


def _peak(target: Target, busy: int) -> Callable[[], Round]:
    from tvmopt.schedules.llvm.probes.peak import peak_kernel

    function, size, flops = peak_kernel(target)
    return _timed(target, function, (size,), flops, busy)


def _triad(target: Target, level: Level, busy: int) -> Callable[[], Round]:
    from tvmopt.schedules.llvm.probes.bandwidth import ARRAYS, triad_kernel

    sweeps = -(-SAMPLE_BYTES // level.working_set)
    function, size, nbytes = triad_kernel(target, level.working_set, sweeps)
    return _timed(target, function, (size,) * ARRAYS, nbytes, busy)


def _timed(target: Target, function: Any, sizes: tuple[int, ...], amount: int, busy: int) -> Callable[[], Round]:
    """Something that measures a kernel once; `amount` is what one call does on `busy` cores."""
    import numpy as np
    import tvm

    from tvmopt.pipeline.compiler.build import kernel_library

    library = kernel_library({"kernel": function}, target)
    arrays = [tvm.runtime.tensor(np.full(size, 0.5, np.float32)) for size in sizes]
    timer = library.mod.time_evaluator("kernel", tvm.cpu(), number=1, repeat=SAMPLES)

    def measure_once() -> Round:
        began, worked = time.perf_counter(), time.process_time()
        median = statistics.median(timer(*arrays).results)
        share = (time.process_time() - worked) / (time.perf_counter() - began) / busy
        return Round(amount / median, share)

    return measure_once


def main() -> None:
    """Measures at the number of threads that the command line gives, and gives the result."""
    server = Server()
    target = parse_target("llvm", int(sys.argv[1]))
    from tvmopt.pipeline.compiler.build import threads_environment
    from tvmopt.pipeline.support.tvm import import_compiler

    threads_environment(target.threads)
    import_compiler()
    server.give(measure(target, LOCAL.facts()))


if __name__ == "__main__":
    main()
