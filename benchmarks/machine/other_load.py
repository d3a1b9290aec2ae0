"""The load of other programs on the machine during a measurement."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from tvmopt.pipeline.errors import RuntimeMissingError


def check_psutil() -> None:
    """Checks that the load can be read.

    Raises:
        RuntimeMissingError: when psutil is not installed.
    """
    try:
        import psutil  # noqa: F401
    except ImportError:
        raise RuntimeMissingError("reading this machine's load needs psutil: pip install 'tvmopt[compare]'") from None


class OtherLoad:
    """Counts the processor time that other programs use between construction and the call of `busy_cores`.

    Args:
        pids: the workers, which do not count as other programs; nor does this process.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self._own_at_start = {pid: _process_s(pid) for pid in (*pids, os.getpid())}
        self._all_at_start = _machine_s()
        self._began = time.monotonic()

    def busy_cores(self) -> float:
        """Average number of cores that others kept busy: from 0 to the machine's number of cores."""
        # If a worker has ended, all its time counts as others'; its row failed anyway.
        own_s = sum(max(0.0, _process_s(pid) - start) for pid, start in self._own_at_start.items())
        elapsed_s = time.monotonic() - self._began
        return max(0.0, (_machine_s() - self._all_at_start - own_s) / elapsed_s) if elapsed_s else 0.0


def _machine_s() -> float:
    """Busy seconds of all cores together, including time stolen by other virtual machines."""
    import psutil

    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def _process_s(pid: int) -> float:
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
