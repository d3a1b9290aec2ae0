"""The suite's table: tvmopt against the best peer of each network, its memory against onnxruntime's, the totals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tvmopt.benchmarks.measurements.statistics import ratio_of_medians
from tvmopt.benchmarks.measurements.types import Comparison, Latency, Measurement
from tvmopt.benchmarks.measurements.verdicts import OURS, UNTUNED
from tvmopt.benchmarks.runtimes.registry import peers
from tvmopt.pipeline.support.tolerances import EXAMPLES

MEAN_LIMIT, NEVER_TUNED_MEAN_LIMIT, WORST_LIMIT = 1.2, 1.3, 1.0
"""Minimum speed over the best peer: as a geometric mean over all lines, or over networks never tuned; on each line."""

MEMORY_LIMIT, ERROR_LIMIT = 1.0, EXAMPLES.float32
"""Maximum peak memory over onnxruntime's, and maximum relative error of the outputs."""


@dataclass(frozen=True, slots=True)
class Line:
    """One network at one batch size and thread count; values that were not measured are None or empty.

    Attributes:
        network, batch, threads: the network, batch size and thread count.
        runtime: the one of `OURS` that was measured, or empty.
        ours_s, untuned_s: median latencies of that runtime, and without tuning.
        peer: the fastest of the `peers`, or empty.
        peer_s: its median latency.
        speed: the peer's latency over ours; above 1 when tvmopt is faster.
        interval: the 95 % confidence interval of `speed`.
        memory: our peak memory over onnxruntime's.
        error: the largest relative error of our outputs.
        note: the runtimes not measured and the reasons, or empty.
    """

    network: str
    batch: int
    threads: int
    runtime: str = ""
    ours_s: float | None = None
    untuned_s: float | None = None
    peer: str = ""
    peer_s: float | None = None
    speed: float | None = None
    interval: tuple[float, float] | None = None
    memory: float | None = None
    error: float | None = None
    note: str = ""

    @property
    def passes(self) -> bool:
        """Whether it was measured and meets the limits of a line."""
        if self.speed is None or self.memory is None or self.error is None:
            return False
        return self.speed >= WORST_LIMIT and self.memory <= MEMORY_LIMIT and self.error <= ERROR_LIMIT


def summarize_comparison(comparison: Comparison) -> list[Line]:
    """The lines of one comparison, one for each cell."""
    return [_line(comparison, batch, threads) for batch, threads in comparison.cells()]


def mean_speed(lines: Sequence[Line]) -> float | None:
    """The geometric mean of the lines' speeds, if there are any."""
    speeds = [line.speed for line in lines if line.speed is not None]
    return math.exp(sum(map(math.log, speeds)) / len(speeds)) if speeds else None


def passes(lines: Sequence[Line], mean_limit: float = MEAN_LIMIT) -> bool:
    """Whether the suite meets all limits."""
    mean = mean_speed(lines)
    return mean is not None and mean >= mean_limit and all(line.passes for line in lines)


def render_table(lines: Sequence[Line], mean_limit: float = MEAN_LIMIT) -> str:
    """The lines and totals in Markdown, with missed limits in bold."""
    heads = (
        *("network", "batch", "threads", "untuned ms", "tvmopt ms", "best peer", "its ms"),
        *(f"best peer / tvmopt (≥ {WORST_LIMIT:g})", "95 % interval", f"memory / onnxruntime (≤ {MEMORY_LIMIT:g})"),
        *(f"relative error (≤ {ERROR_LIMIT:g})", ""),
    )
    rows = [row_of(heads), row_of(["---"] * len(heads))]
    rows += [row_of(_cells(line)) for line in lines]
    return "\n".join([*rows, "", *_totals(lines, mean_limit)]) + "\n"


def render_settings(comparisons: Sequence[Comparison]) -> str:
    """The settings of each runtime, in one line of Markdown."""
    rows: dict[str, Measurement] = {}
    for comparison in comparisons:
        for row in comparison.measurements:
            if row.settings:
                rows.setdefault(row.runtime, row)
    lines = [f"- **{name}**: {_in_words(row.settings)}" for name, row in rows.items()]
    return "\n".join(["Set up as follows (threads as in the first line of each):", "", *lines]) + "\n"


def _line(comparison: Comparison, batch: int, threads: int) -> Line:
    rows = comparison.rows(batch, threads)
    measured = {row.runtime: row for row in rows if row.status == "ok"}
    network = str(comparison.model["name"])
    note = "; ".join(f"{row.runtime}: {row.message}" for row in rows if row.status != "ok")
    ours = next((measured[name] for name in OURS if name in measured), None)
    rivals = [measured[name] for name in peers() if name in measured]
    if ours is None:
        return Line(network, batch, threads, note=note)
    best = min(rivals, key=lambda row: latency_of(row).median, default=None)
    speed, interval = ratio_of_medians(latency_of(best), latency_of(ours)) if best else (None, None)
    untuned = measured.get(UNTUNED)
    errors = [measured[name].output_error for name in OURS if name in measured]
    return Line(
        network,
        batch,
        threads,
        runtime=ours.runtime,
        ours_s=latency_of(ours).median,
        untuned_s=latency_of(untuned).median if untuned else None,
        peer=best.runtime if best else "",
        peer_s=latency_of(best).median if best else None,
        speed=speed,
        interval=interval,
        memory=_memory(ours, measured.get("onnxruntime")),
        error=max((error.relative for error in errors if error is not None), default=None),
        note=note,
    )


def latency_of(row: Measurement) -> Latency:
    """The latencies of a row that was measured."""
    assert row.latency_s is not None
    return row.latency_s


def _memory(ours: Measurement, other: Measurement | None) -> float | None:
    if other is None or not ours.peak_memory_bytes or not other.peak_memory_bytes:
        return None
    return ours.peak_memory_bytes / other.peak_memory_bytes


def _totals(lines: Sequence[Line], mean_limit: float) -> list[str]:
    mean = mean_speed(lines)
    measured = [line for line in lines if line.speed is not None]
    if mean is None:
        return ["Nothing was measured."]
    worst = min(measured, key=lambda line: line.speed or 0.0)
    totals = [
        f"Geometric mean (≥ {mean_limit:g}): {mark(mean, mean >= mean_limit, '{:.3f}')}.",
        f"Worst (≥ {WORST_LIMIT:g}): {_speed(worst)} ({worst.network}, batch {worst.batch}, threads {worst.threads}).",
    ]
    for threads in sorted({line.threads for line in measured}):
        part = [line for line in measured if line.threads == threads]
        totals.append(f"On {threads} thread{'s' if threads > 1 else ''}: {mean_speed(part):.3f}.")
    hungry = max((line for line in lines if line.memory is not None), key=lambda line: line.memory or 0.0, default=None)
    if hungry is not None and hungry.memory is not None:
        most = mark(hungry.memory, hungry.memory <= MEMORY_LIMIT, "{:.2f}")
        totals.append(f"Most memory over onnxruntime's (≤ {MEMORY_LIMIT:g}): {most} ({hungry.network}).")
    return totals


def _cells(line: Line) -> list[str]:
    low_high = "" if line.interval is None else "{:.2f}–{:.2f}".format(*line.interval)
    return [
        line.network,
        str(line.batch),
        str(line.threads),
        in_ms(line.untuned_s),
        in_ms(line.ours_s) if line.runtime != UNTUNED else f"{in_ms(line.ours_s)} (untuned)",
        line.peer or "–",
        in_ms(line.peer_s),
        _speed(line),
        low_high,
        "–" if line.memory is None else mark(line.memory, line.memory <= MEMORY_LIMIT, "{:.2f}"),
        "–" if line.error is None else mark(line.error, line.error <= ERROR_LIMIT, "{:.1e}"),
        line.note,
    ]


def _speed(line: Line) -> str:
    return "–" if line.speed is None else mark(line.speed, line.speed >= WORST_LIMIT, "{:.2f}")


def mark(value: float, kept: bool, form: str) -> str:
    """A number of a table, in bold where it misses its limit."""
    text = form.format(value)
    return text if kept else f"**{text}**"


def in_ms(seconds: float | None) -> str:
    """A time in milliseconds for a table."""
    return "–" if seconds is None else f"{seconds * 1e3:.4g}"


def row_of(cells: Sequence[str]) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def _in_words(settings: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in settings.items())
