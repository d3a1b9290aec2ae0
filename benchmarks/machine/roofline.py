"""The roofline of this machine: the measured peak of its arithmetic and of each memory level, cached on disk.

After Williams, Waterman, Patterson, "Roofline: An Insightful Visual Performance Model for Multicore Architectures",
2009.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvmopt.pipeline.devices.program import Program
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.devices.run_once import run_once
from tvmopt.pipeline.errors import InputFileError, UsageError
from tvmopt.pipeline.support.files import replaced
from tvmopt.pipeline.support.tvm import tvm_version

VERSION = 2
"""Incremented whenever the measurement changes, which invalidates cached results."""

_MODULE = "tvmopt.benchmarks.machine.roofline_worker"
_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Roofline:
    """The upper bounds of a machine's performance.

    Attributes:
        threads: number of threads.
        peak_flops: float32 operations a second, a multiply-add as two.
        peak_iops: the same of bytes, summed in 32 bits; None where no kernel was measured, as in older files.
        bandwidth: for each level of memory, the smallest first, its capacity in bytes for all threads together, and
            the bytes a second that it can read and write (two reads for each write).
    """

    threads: int
    peak_flops: float
    bandwidth: tuple[tuple[int, float], ...]
    peak_iops: float | None = None

    def __post_init__(self) -> None:
        sizes = [size for size, _ in self.bandwidth]
        rates = [
            self.peak_flops,
            1.0 if self.peak_iops is None else self.peak_iops,
            *(rate for _, rate in self.bandwidth),
        ]
        if self.threads < 1 or not all(rate > 0 for rate in rates):
            raise ValueError(f"threads, peak and bandwidths must be positive, got {self}")
        if not sizes or sizes != sorted(sizes):
            raise ValueError(f"a roofline needs levels of memory, the smallest first, got {sizes}")

    def bandwidth_at(self, nbytes: int) -> float:
        """Bytes a second of the smallest level that holds `nbytes`, or of the last level if none does."""
        return next((rate for size, rate in self.bandwidth if nbytes <= size), self.bandwidth[-1][1])

    def attainable_s(self, flops: int, nbytes: int, integer_ops: int = 0) -> float:
        """The minimum time, in seconds, for operations on floats and on integers, with `nbytes` bytes moved once.

        Computing and moving overlap, so the longer of the two counts. Without a peak of integers they take the time of
        floats.
        """
        computing_s = flops / self.peak_flops + integer_ops / (self.peak_iops or self.peak_flops)
        return max(computing_s, nbytes / self.bandwidth_at(nbytes))

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "threads": self.threads,
            "peak_flops": self.peak_flops,
            "peak_iops": self.peak_iops,
            "bandwidth": [[size, rate] for size, rate in self.bandwidth],
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Roofline:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: when `data` was not written by `to_json`.
        """
        bandwidth = tuple((int(size), float(rate)) for size, rate in data["bandwidth"])
        peak_iops = data.get("peak_iops")
        integers = None if peak_iops is None else float(peak_iops)
        return Roofline(int(data["threads"]), float(data["peak_flops"]), bandwidth, integers)


def measure_roofline(threads: int) -> Roofline:
    """The roofline of this machine at `threads` threads.

    It is measured once (in ten seconds; longer on a busy machine, so use an idle one) and kept in the user's cache
    folder, by processor, instruction set, threads and versions. It is measured again if the cache cannot be read, or if
    the measurement did not settle because the machine was busy.

    Raises:
        UsageError: when `threads` is below one.
        BuildError: when the kernels cannot be built or run.
    """
    if threads < 1:
        raise UsageError(f"threads must be at least 1, got {threads}")
    machine = _machine(threads)
    path = cache_folder() / f"roofline-{hashlib.sha256(json.dumps(machine).encode()).hexdigest()[:16]}.json"
    kept = _read(path, machine)
    if kept is not None:
        return kept
    measured = _measure(threads)
    roofline = Roofline.from_json({"threads": threads, **measured})
    if not measured["settled"]:
        return roofline
    # If the result cannot be saved, the next call measures again.
    with contextlib.suppress(OSError, InputFileError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as file:
            file.write(json.dumps({"machine": machine, "roofline": roofline.to_json()}, indent=1).encode())
    return roofline


def cache_folder() -> Path:
    """The cache folder of this user's machine measurements: ``$XDG_CACHE_HOME/tvmopt`` or ``~/.cache/tvmopt``."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification requires ignoring relative paths.
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache") / "tvmopt"


def _machine(threads: int) -> dict[str, Any]:
    """Everything that the measurement depends on."""
    facts = LOCAL.facts()
    return {
        "version": VERSION,
        "cpu": facts.cpu,
        "isa": facts.isa,
        "cores": len(facts.usable_cores),
        "threads": threads,
        "tvm": tvm_version(),
    }


def _read(path: Path, machine: Mapping[str, Any]) -> Roofline | None:
    """The cached roofline at `path` for `machine`; None when it cannot be read."""
    try:
        kept = json.loads(path.read_bytes())
        if kept["machine"] != machine:
            return None
        roofline = Roofline.from_json(kept["roofline"])
    except (OSError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
        return None
    return roofline if roofline.threads == machine["threads"] else None


def _measure(threads: int) -> dict[str, Any]:
    what = "measuring this machine's peak and bandwidth"
    measured: dict[str, Any] = run_once(LOCAL, Program(_MODULE, (str(threads),), threads), _LIMIT_S, what)
    return measured
