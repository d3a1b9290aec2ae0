"""Numbers and verdicts as text, the same in every form of the report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from tvmopt.benchmarks.measurements.types import RelativeError, Verdict


def significant(value: float, digits: int = 3) -> str:
    """`value` with at least `digits` significant digits and no exponent: 1,234; 12.3; 0.0123."""
    rounded = float(f"{value:.{digits}g}")
    if rounded == 0:
        return "0"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(rounded))))}f}"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds, without the unit."""
    return significant(seconds * 1e3)


def duration(seconds: float | None) -> str:
    """Seconds with a suitable unit; a dash for None."""
    if seconds is None:
        return "–"
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= scale:
            return f"{significant(seconds / scale)} {unit}"
    return f"{significant(seconds / 1e-9)} ns"


def mebibytes(size_bytes: int | None) -> str:
    """Bytes as MiB, without the unit; a dash for None."""
    return "–" if size_bytes is None else f"{size_bytes / 2**20:,.0f}"


def size(size_bytes: int) -> str:
    """Bytes with a suitable unit."""
    for scale, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size_bytes >= scale:
            return f"{size_bytes / scale:g} {unit}"
    return f"{size_bytes} B"


RELATIVE_ERROR: Mapping[RelativeError, str] = {
    "largest": "the largest difference from the reference's outputs over their largest magnitude",
    "l2": "the L2 norm of the difference from the reference's outputs over their norm",
}


def error(value: float | None) -> str:
    """A relative error; a dash for None."""
    if value is None:
        return "–"
    return "0" if value == 0 else f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e+")


def speedup(verdict: Verdict) -> str:
    """The speed relative to the other runtime: ``1.42×``."""
    return f"{times(1 / verdict.ratio)}×"


def speedup_interval(verdict: Verdict) -> str:
    """The interval of `speedup`: ``1.38–1.46``."""
    return times_interval(verdict.interval)


def times_interval(interval: tuple[float, float]) -> str:
    """The interval of a speed-up from that of a ratio of latencies: ``1.38–1.46``."""
    low, high = interval
    return f"{times(1 / high)}–{times(1 / low)}"


def times(value: float) -> str:
    """Two decimals below 10, else three significant digits: 0.97; 1.42; 37.2."""
    return f"{value:.2f}" if value < 10 else significant(value)


def short(name: str, length: int) -> str:
    """`name` on one line; a long name keeps its end, which is where layers' names differ."""
    line = "".join(char if char.isprintable() else " " for char in name)
    return line if len(line) <= length else f"…{line[1 - length :]}"


def where(batch: int, threads: int) -> str:
    """A cell's name: ``batch 1, 2 threads``."""
    return f"batch {batch}, {threads} thread{'' if threads == 1 else 's'}"


def listing(items: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *front, last = list(items)
    return f"{', '.join(front)} and {last}" if front else last
