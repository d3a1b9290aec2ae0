"""Reads facts of the machine that this process runs on: processor, cores, features, caches, memory, system."""

from __future__ import annotations

import functools
import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

KIB = 1024

_CPUS = Path("/sys/devices/system/cpu")
_UNITS = {"K": KIB, "M": KIB * KIB}


@dataclass(frozen=True, slots=True)
class Cache:
    """A data cache of one core.

    Attributes:
        level: 1 for the one next to the core.
        size_bytes: how much it holds.
        shared_by: logical cores that share it.
    """

    level: int
    size_bytes: int
    shared_by: int


def cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0))


def usable_cores() -> tuple[int, ...]:
    """Numbers of the logical cores that this process may run on, one of each physical core first."""
    if sys.platform != "linux":
        return tuple(range(os.cpu_count() or 1))
    allowed = sorted(os.sched_getaffinity(0))
    first: dict[str, int] = {}
    for core in allowed:
        first.setdefault(_siblings(core), core)
    return (*first.values(), *(core for core in allowed if core not in first.values()))


def logical_cores() -> int:
    """Logical cores of the machine."""
    return os.cpu_count() or 1


def physical_cores() -> int:
    """Physical cores of the machine; its logical ones where the kernel does not report them."""
    return len({_siblings(core) for core in range(logical_cores())})


def cpu_flags() -> frozenset[str]:
    """Instruction set flags of the processor as the kernel spells them; empty where it reports none."""
    info = _cpu_info()
    return frozenset((info.get("flags") or info.get("Features") or "").split())


def host_cpu() -> str:
    """Name of this machine's processor."""
    info = _cpu_info()
    return info.get("model name") or info.get("Model") or platform.processor() or platform.machine()


def caches() -> tuple[Cache, ...]:
    """The data caches of core 0, the first level first; none where the kernel reports none."""
    found = {}
    for folder in (_CPUS / "cpu0/cache").glob("index*"):
        kind, level = _read(folder / "type"), _read(folder / "level")
        size = re.fullmatch(r"(\d+)([KM])", _read(folder / "size") or "")
        if size and level and kind != "Instruction":
            shared = _count(_read(folder / "shared_cpu_list") or "0")
            found[int(level)] = Cache(int(level), int(size[1]) * _UNITS[size[2]], shared)
    return tuple(found[level] for level in sorted(found))


def cache_bytes(l1_kib: int, l2_kib: int) -> tuple[int, int]:
    """Data caches of core 0, first and second level, or the given sizes where the kernel reports none."""
    sizes = {1: l1_kib * KIB, 2: l2_kib * KIB} | {cache.level: cache.size_bytes for cache in caches()}
    return sizes[1], sizes[2]


def memory_bytes() -> int:
    """The machine's main memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def most_frequency_hz() -> int | None:
    """The highest clock frequency of core 0; None where the kernel does not report it, as in most virtual machines."""
    khz = _read(_CPUS / "cpu0/cpufreq/cpuinfo_max_freq")
    return int(khz) * 1000 if khz else None


def governor() -> str | None:
    """The frequency governor of core 0; None where the kernel does not report it."""
    return _read(_CPUS / "cpu0/cpufreq/scaling_governor")


def os_name() -> str:
    """The operating system's name and version."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _siblings(core: int) -> str:
    """The logical cores of the physical core that has `core`."""
    return _read(_CPUS / f"cpu{core}/topology/thread_siblings_list") or str(core)


def _count(cpus: str) -> int:
    """How many CPUs a list such as ``0-3,8`` names."""
    spans = [span.split("-") for span in cpus.split(",")]
    return sum(int(span[-1]) - int(span[0]) + 1 for span in spans)


@functools.cache
def _cpu_info() -> dict[str, str]:
    """Fields of ``/proc/cpuinfo``: those of the first processor, and the board's, which follow all processors."""
    info: dict[str, str] = {}
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        name, _, value = line.partition(":")
        info.setdefault(name.strip(), value.strip())
    return info


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
