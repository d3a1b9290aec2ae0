"""The table of the networks in INT8: ours against the best peer in INT8 and against ours in FP32, with the errors.

Outputs of networks with random weights differ much from FP32's whoever quantises: each error stands beside the peer's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tvmopt.benchmarks.measurements.statistics import ratio_of_medians
from tvmopt.benchmarks.measurements.types import Comparison, Measurement
from tvmopt.benchmarks.measurements.verdicts import INT8, OURS, OURS_INT8
from tvmopt.benchmarks.suite.network_table import in_ms, latency_of, mark, row_of

MEAN_LIMIT, WORST_LIMIT = 1.35, 1.0
"""Minimum speed over the best peer in INT8: as a geometric mean, and on each line."""

FLOAT_LIMITS = {"avx512_vnni": 2.2, "avx_vnni": 2.2, "avx2": 1.6}
"""Minimum geometric mean of the speed over ours in FP32, by the first of these features that a machine has."""


@dataclass(frozen=True, slots=True)
class Int8Line:
    """One network at one batch size and thread count; values that were not measured are None or empty.

    Attributes:
        network, batch, threads: what was measured.
        float_s, ours_s: median latencies of ours, in FP32 and in INT8.
        peer: the fastest of the others in INT8 that do not saturate.
        peer_s: its median latency.
        speed: the peer's latency over ours; above 1 when tvmopt is faster.
        interval: the 95 % confidence interval of `speed`.
        gain: our latency in FP32 over that in INT8.
        error, peer_error: relative errors of the outputs against those in FP32.
        note: the runtimes not measured and why, those that saturate and how fast they are.
    """

    network: str
    batch: int
    threads: int
    float_s: float | None = None
    ours_s: float | None = None
    peer: str = ""
    peer_s: float | None = None
    speed: float | None = None
    interval: tuple[float, float] | None = None
    gain: float | None = None
    error: float | None = None
    peer_error: float | None = None
    note: str = ""


def summarize_int8(comparison: Comparison) -> list[Int8Line]:
    """The lines of one comparison, one for each cell."""
    return [_line(comparison, batch, threads) for batch, threads in comparison.cells()]


def float_limit(features: Iterable[str]) -> float:
    """The limit of the speed over ours in FP32, on a machine with these features."""
    present = set(features)
    return next((limit for feature, limit in FLOAT_LIMITS.items() if feature in present), min(FLOAT_LIMITS.values()))


def passes_int8(lines: Sequence[Int8Line], least_gain: float) -> bool:
    """Whether all limits hold; `least_gain` is that of `float_limit`."""
    speeds, gains = _known([line.speed for line in lines]), _known([line.gain for line in lines])
    if len(speeds) < len(lines) or len(gains) < len(lines) or not lines:
        return False
    return _mean(speeds) >= MEAN_LIMIT and min(speeds) >= WORST_LIMIT and _mean(gains) >= least_gain


def render_int8(lines: Sequence[Int8Line], least_gain: float) -> str:
    """The lines and totals in Markdown, with missed limits in bold."""
    heads = (
        *("network", "batch", "threads", "tvmopt FP32 ms", "tvmopt INT8 ms", "best INT8 peer", "its ms"),
        *(f"best peer / tvmopt (≥ {WORST_LIMIT:g})", "95 % interval", "FP32 / INT8", "error", "its error", ""),
    )
    rows = [row_of(heads), row_of(["---"] * len(heads)), *(row_of(_cells(line)) for line in lines)]
    return "\n".join([*rows, "", *_totals(lines, least_gain)]) + "\n"


def _line(comparison: Comparison, batch: int, threads: int) -> Int8Line:
    rows = comparison.rows(batch, threads)
    measured = {row.runtime: row for row in rows if row.status == "ok"}
    network = str(comparison.model["name"])
    notes = [f"{row.runtime}: {row.message}" for row in rows if row.status != "ok"]
    others = [row for row in measured.values() if row.variant.startswith(INT8) and row.runtime not in OURS_INT8]
    notes += [f"{row.runtime} saturates: {in_ms(latency_of(row).median)} ms" for row in others if _saturates(row)]
    ours = next((measured[name] for name in OURS_INT8 if name in measured), None)
    plain = next((measured[name] for name in OURS if name in measured), None)
    best = min((row for row in others if not _saturates(row)), key=lambda row: latency_of(row).median, default=None)
    both = ours is not None and best is not None
    speed, interval = ratio_of_medians(latency_of(best), latency_of(ours)) if ours and best and both else (None, None)
    gain = latency_of(plain).median / latency_of(ours).median if plain and ours else None
    return Int8Line(
        network,
        batch,
        threads,
        float_s=latency_of(plain).median if plain else None,
        ours_s=latency_of(ours).median if ours else None,
        peer=best.runtime if best else "",
        peer_s=latency_of(best).median if best else None,
        speed=speed,
        interval=interval,
        gain=gain,
        error=_error(ours),
        peer_error=_error(best),
        note="; ".join(notes),
    )


def _saturates(row: Measurement) -> bool:
    return "saturates" in row.settings


def _error(row: Measurement | None) -> float | None:
    return row.output_error.relative if row is not None and row.output_error is not None else None


def _cells(line: Int8Line) -> list[str]:
    return [
        line.network,
        str(line.batch),
        str(line.threads),
        in_ms(line.float_s),
        in_ms(line.ours_s),
        line.peer or "–",
        in_ms(line.peer_s),
        "–" if line.speed is None else mark(line.speed, line.speed >= WORST_LIMIT, "{:.2f}"),
        "" if line.interval is None else "{:.2f}–{:.2f}".format(*line.interval),
        "–" if line.gain is None else f"{line.gain:.2f}",
        "–" if line.error is None else f"{line.error:.1e}",
        "–" if line.peer_error is None else f"{line.peer_error:.1e}",
        line.note,
    ]


def _totals(lines: Sequence[Int8Line], least_gain: float) -> list[str]:
    speeds, gains = _known([line.speed for line in lines]), _known([line.gain for line in lines])
    totals = []
    if speeds:
        worst = min((line for line in lines if line.speed is not None), key=lambda line: line.speed or 0.0)
        least = mark(min(speeds), min(speeds) >= WORST_LIMIT, "{:.2f}")
        mean = mark(_mean(speeds), _mean(speeds) >= MEAN_LIMIT, "{:.3f}")
        totals += [
            f"Best INT8 peer / tvmopt INT8, geometric mean (≥ {MEAN_LIMIT:g}): {mean}.",
            f"Worst (≥ {WORST_LIMIT:g}): {least} ({worst.network}, batch {worst.batch}, threads {worst.threads}).",
        ]
    if gains:
        mean = mark(_mean(gains), _mean(gains) >= least_gain, "{:.3f}")
        totals.append(f"tvmopt FP32 / tvmopt INT8, geometric mean (≥ {least_gain:g}): {mean}.")
    for threads in sorted({line.threads for line in lines}):
        part = _known([line.speed for line in lines if line.threads == threads])
        if part:
            totals.append(f"On {threads} thread{'s' if threads > 1 else ''}: {_mean(part):.3f}.")
    return totals or ["Nothing was measured."]


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))
