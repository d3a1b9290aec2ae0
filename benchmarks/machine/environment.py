"""The fingerprint of a machine: what a measurement depends on, and nothing that names its owner."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from tvmopt.pipeline.errors import RuntimeMissingError, UsageError

ISA_FLAGS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl"),
    *("avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimdhp", "asimddp", "fphp", "i8mm", "bf16", "sve", "sve2"),
)
"""CPU flags that decide which kernels a runtime picks."""

OWN_PACKAGES = (
    *("tvmopt", "apache-tvm", "apache-tvm-ffi", "onnx", "onnxruntime"),
    *("numpy", "scipy", "scikit-learn", "xgboost-cpu"),
)
"""Distributions that our own numbers depend on, whichever runtimes are measured; their versions are recorded."""

MACHINE_FIELDS = ("cpu", "architecture", "isa", "cores", "threads", "caches_bytes", "memory_gib")
"""Fields in which two files' environments must agree for their latencies to be comparable."""

SOFTWARE_FIELDS = ("os", "kernel", "governor", "python", "packages")
"""Fields that may differ between comparable files, but are worth a word."""

_CPU_FOLDER = Path("/sys/devices/system/cpu")


def read_environment(packages: Iterable[str] = ()) -> dict[str, Any]:
    """This machine's facts, as a JSON object with the fields below.

    ``cpu`` (model name), ``architecture``, ``isa`` (those of `ISA_FLAGS` it has), ``cores`` (physical) and
    ``threads`` (logical) of the machine, ``usable_cores`` (numbers that this process may run on), ``caches_bytes``
    (by level), ``memory_gib``, ``hypervisor``, ``os``, ``kernel``, ``governor`` (``null`` where it cannot be read),
    ``load_average`` (1, 5, 15 minutes, at the time of the call), ``python``, ``packages`` (name to version).

    Args:
        packages: distributions whose versions to record besides those of `OWN_PACKAGES`, if they are installed.

    Raises:
        RuntimeMissingError: when psutil is not installed.
    """
    try:
        import psutil
    except ImportError:
        raise RuntimeMissingError("reading this machine's facts needs psutil: pip install 'tvmopt[compare]'") from None
    info = _cpu_info()
    flags = cpu_flags()
    return {
        "cpu": info.get("model name") or info.get("Model") or platform.processor() or "unknown",
        "architecture": platform.machine(),
        "isa": [flag for flag in ISA_FLAGS if flag in flags],
        "cores": psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
        "threads": psutil.cpu_count() or 1,
        "usable_cores": usable_cores(),
        "caches_bytes": _caches_bytes(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "hypervisor": "hypervisor" in flags,
        "os": _os_name(),
        "kernel": f"{platform.system()} {platform.release()}",
        "governor": _read(_CPU_FOLDER / "cpu0/cpufreq/scaling_governor"),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "packages": package_versions(dict.fromkeys((*OWN_PACKAGES, *packages))),
    }


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of those of the named distributions that are installed."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def cpu_flags() -> frozenset[str]:
    """Instruction set flags of the CPU as the kernel spells them; empty where it does not tell."""
    info = _cpu_info()
    return frozenset((info.get("flags") or info.get("Features") or "").split())


def has_int8_dot_product() -> bool:
    """Whether 8-bit products are summed in 32 bits, so that full-range INT8 weights cannot saturate.

    On x86 without VNNI, ``vpmaddubsw`` sums pairs of products in 16 bits and saturates. Arm has no such sum.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    return bool(cpu_flags() & {"avx512_vnni", "avx_vnni", "amx_int8"})


def usable_cores() -> list[int]:
    """Numbers of the logical cores that this process may run on, one of each physical core first."""
    if sys.platform != "linux":
        return list(range(os.cpu_count() or 1))
    allowed = sorted(os.sched_getaffinity(0))
    first: dict[str, int] = {}
    for core in allowed:
        siblings = _read(_CPU_FOLDER / f"cpu{core}/topology/thread_siblings_list") or str(core)
        first.setdefault(siblings, core)
    return [*first.values(), *(core for core in allowed if core not in first.values())]


def choose_cores(threads: int) -> tuple[int, ...]:
    """As many of the `usable_cores` as `threads`, or all of them for 0.

    Raises:
        UsageError: when there are fewer.
    """
    cores = usable_cores()
    if threads > len(cores):
        raise UsageError(f"threads must be at most {len(cores)}, the cores this process may use; got {threads}")
    return tuple(cores[: threads or len(cores)])


def differing_fields(first: Mapping[str, Any], second: Mapping[str, Any], fields: Iterable[str]) -> list[str]:
    """Those of `fields` in which two environments differ."""
    return [field for field in fields if first.get(field) != second.get(field)]


def _cpu_info() -> dict[str, str]:
    """The first processor's block of ``/proc/cpuinfo``."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _caches_bytes() -> dict[str, int]:
    """Size of the data caches that core 0 sees, by level."""
    caches = {}
    for index in sorted((_CPU_FOLDER / "cpu0/cache").glob("index*")):
        kind, level, size = _read(index / "type"), _read(index / "level"), _read(index / "size")
        if level and size and size.endswith("K") and kind != "Instruction":
            caches[f"L{level}"] = int(size[:-1]) * 1024
    return caches


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
