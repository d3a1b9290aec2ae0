"""Measures this machine's roofline: multiply-adds in registers, and a triad at working sets of each memory level.

Runs as ``python -m pipeline.roofline_worker THREADS``, in a process of its own because TVM's runtime fixes its threads
once, and writes one line of JSON: ``{"peak_flops": …, "bandwidth": [[bytes, bytes/s], …]}``.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schedules.target import Target, parse_target

ROUNDS = 6
SAMPLES = 5
SAMPLE_BYTES = 64 * 2**20
"""Bytes that one sample moves at least, so that dividing the work among threads does not count: milliseconds."""

LARGEST_SET = 2**30
SMALLEST_MEMORY_SET = 2**28
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 2**10, "M": 2**20}


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
    """The roofline of this machine at the target's threads.

    Nothing makes a kernel faster than the machine, but much makes it slower: another process, a low clock. So each
    kernel is measured in several rounds, apart from each other in time, and the best round counts. Within a round the
    median does, for a single sample may be wrong in either direction.
    """
    peak = _peak(target)
    sweeps = [_triad(target, level) for level in levels(target)]
    rounds = [[kernel() for kernel in (peak, *sweeps)] for _ in range(ROUNDS)]
    best = [max(rates) for rates in zip(*rounds, strict=True)]
    bandwidth = [[level.capacity, rate] for level, rate in zip(levels(target), best[1:], strict=True)]
    return {"peak_flops": best[0], "bandwidth": bandwidth}


def _peak(target: Target) -> Callable[[], float]:
    from schedules.llvm.peak import peak_kernel

    function, size, flops = peak_kernel(target)
    return _timed(target, function, (size,), flops)


def _triad(target: Target, level: Level) -> Callable[[], float]:
    from schedules.llvm.bandwidth import ARRAYS, triad_kernel

    sweeps = -(-SAMPLE_BYTES // level.working_set)
    function, size, nbytes = triad_kernel(target, level.working_set, sweeps)
    return _timed(target, function, (size,) * ARRAYS, nbytes)


def _timed(target: Target, function: Any, sizes: tuple[int, ...], amount: int) -> Callable[[], float]:
    """Measures once: the median of some calls, as `amount` a second."""
    import numpy as np
    import tvm

    module = tvm.IRModule({"kernel": function.with_attr("global_symbol", "kernel")})
    library = tvm.compile(module, target=tvm.target.Target(dict(target.tvm)))
    arrays = [tvm.runtime.tensor(np.full(size, 0.5, np.float32)) for size in sizes]
    timer = library.mod.time_evaluator("kernel", tvm.cpu(), number=1, repeat=SAMPLES)
    return lambda: amount / statistics.median(timer(*arrays).results)


def _cpus(text: str) -> int:
    """How many CPUs a list such as ``0-3,8`` names."""
    spans = [span.split("-") for span in text.strip().split(",")]
    return sum(int(span[-1]) - int(span[0]) + 1 for span in spans)


def main() -> None:
    """Measures at the number of threads that the command line gives, and writes the result."""
    target = parse_target("llvm", int(sys.argv[1]))
    from pipeline.build import threads_environment
    from pipeline.runtime import import_compiler

    threads_environment(target.threads)
    import_compiler()
    sys.stdout.write(json.dumps(measure(target)) + "\n")


if __name__ == "__main__":
    main()
