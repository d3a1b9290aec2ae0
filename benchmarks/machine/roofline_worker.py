"""Measures this machine's roofline: multiply-adds in registers, and a triad at working sets of each memory level.

Runs as ``python -m tvmopt.benchmarks.machine.roofline_worker THREADS``, in a process of its own because TVM's runtime
fixes its threads once, and writes one line of JSON: ``{"peak_flops": …, "bandwidth": [[bytes, bytes/s], …], "settled":
…}``.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 2**10, "M": 2**20}


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


def data_caches(target: Target) -> tuple[tuple[int, int], ...]:
    """Size in bytes and number of CPUs that share it of each data cache of CPU 0, the smallest first.

    Where the kernel does not tell, the target's two caches, shared by none.
    """
    found = {}
    for folder in _CACHES.glob("index*"):
        try:
            size = re.fullmatch(r"(\d+)([KM])", (folder / "size").read_text().strip())
            if size and (folder / "type").read_text().strip() != "Instruction":
                shared = _cpus((folder / "shared_cpu_list").read_text())
                found[int((folder / "level").read_text())] = (int(size[1]) * _UNITS[size[2]], shared)
        except (OSError, ValueError):
            continue
    return tuple(found[level] for level in sorted(found)) or ((target.l1_bytes, 1), (target.l2_bytes, 1))


def levels(target: Target) -> tuple[Level, ...]:
    """The caches and the memory, each with a working set that lies in it but not in the one before.

    Half of a cache, since a set that fills it is evicted in part; of a cache that is far larger than the one before at
    most eight times that: it is often shared with others, who leave no half of it.
    """
    found: list[Level] = []
    busy = min(target.threads, os.cpu_count() or 1)
    for size, shared in data_caches(target):
        capacity = size * -(-busy // shared)
        limit = 8 * found[-1].capacity if found else capacity
        found.append(Level(capacity, min(capacity // 2, limit)))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    beyond = max(2 * found[-1].capacity, SMALLEST_MEMORY_SET)
    return (*found, Level(memory, min(beyond, LARGEST_SET, memory // 8)))


def measure(target: Target) -> dict[str, Any]:
    """The roofline of this machine at the target's threads, and whether it has settled.

    Nothing makes a kernel faster than the machine, but much makes it slower: another process, a low clock. So each
    kernel is measured in several rounds, apart from each other in time, and the best round counts. Within a round the
    median does, for a single sample may be wrong in either direction. Rounds go on until the measurement settles.
    """
    kernels = (_peak(target), *(_triad(target, level) for level in levels(target)))
    rounds: list[list[Round]] = [[] for _ in kernels]
    for done in range(MOST_ROUNDS):
        for kernel, found in zip(kernels, rounds, strict=True):
            if done < FEWEST_ROUNDS or not settled(found):
                found.append(kernel())
    peak, *best = (max(found).rate for found in rounds)
    bandwidth = [[level.capacity, rate] for level, rate in zip(levels(target), best, strict=True)]
    return {"peak_flops": peak, "bandwidth": bandwidth, "settled": all(map(settled, rounds))}


def settled(rounds: Sequence[Round]) -> bool:
    """Whether the best two rounds of a kernel agree, and no other process took the processor from them.

    On a machine that is busy all the time, rounds agree as well: on what was left.
    """
    second, best = sorted(rounds)[-2:]
    return second.rate >= (1 - AGREEMENT) * best.rate and min(second.share, best.share) >= UNDISTURBED


def _peak(target: Target) -> Callable[[], Round]:
    from tvmopt.schedules.llvm.probes.peak import peak_kernel

    function, size, flops = peak_kernel(target)
    return _timed(target, function, (size,), flops)


def _triad(target: Target, level: Level) -> Callable[[], Round]:
    from tvmopt.schedules.llvm.probes.bandwidth import ARRAYS, triad_kernel

    sweeps = -(-SAMPLE_BYTES // level.working_set)
    function, size, nbytes = triad_kernel(target, level.working_set, sweeps)
    return _timed(target, function, (size,) * ARRAYS, nbytes)


def _timed(target: Target, function: Any, sizes: tuple[int, ...], amount: int) -> Callable[[], Round]:
    """Something that measures a kernel once; `amount` is what one call does."""
    import numpy as np
    import tvm

    from tvmopt.pipeline.compiler.build import kernel_library

    library = kernel_library({"kernel": function}, target)
    arrays = [tvm.runtime.tensor(np.full(size, 0.5, np.float32)) for size in sizes]
    timer = library.mod.time_evaluator("kernel", tvm.cpu(), number=1, repeat=SAMPLES)
    busy = min(target.threads, len(os.sched_getaffinity(0)))

    def measure_once() -> Round:
        began, worked = time.perf_counter(), time.process_time()
        median = statistics.median(timer(*arrays).results)
        share = (time.process_time() - worked) / (time.perf_counter() - began) / busy
        return Round(amount / median, share)

    return measure_once


def _cpus(text: str) -> int:
    """How many CPUs a list such as ``0-3,8`` names."""
    spans = [span.split("-") for span in text.strip().split(",")]
    return sum(int(span[-1]) - int(span[0]) + 1 for span in spans)


def main() -> None:
    """Measures at the number of threads that the command line gives, and writes the result."""
    target = parse_target("llvm", int(sys.argv[1]))
    from tvmopt.pipeline.compiler.build import threads_environment
    from tvmopt.pipeline.support.tvm import import_compiler

    threads_environment(target.threads)
    import_compiler()
    sys.stdout.write(json.dumps(measure(target)) + "\n")


if __name__ == "__main__":
    main()
