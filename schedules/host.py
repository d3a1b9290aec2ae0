"""What the machine that this process runs on is: processor, cores, features, caches."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path

KIB = 1024


def cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0))


def cpu_flags() -> set[str]:
    """What Linux says that the processor can do; nothing on a machine that is no x86."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":", 1)[1].split())
    return set()


def cache_bytes(l1_kib: int, l2_kib: int) -> tuple[int, int]:
    """Data caches of core 0, first and second level, or the given sizes where the kernel does not tell."""
    sizes = {1: l1_kib * KIB, 2: l2_kib * KIB}
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            level = int((index / "level").read_text())
            size = (index / "size").read_text().strip()
            if level in sizes and (index / "type").read_text().strip() != "Instruction":
                sizes[level] = int(size.rstrip("K")) * KIB
        except (OSError, ValueError):
            continue
    return sizes[1], sizes[2]


@functools.cache
def host_cpu() -> str:
    """Name of this machine's processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
