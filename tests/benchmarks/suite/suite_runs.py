"""Comparisons with given latencies."""

from __future__ import annotations

from dataclasses import replace

from tvmopt.benchmarks.measurements.statistics import summarize
from tvmopt.benchmarks.measurements.types import Comparison


def with_medians(comparison: Comparison, **seconds: float | tuple[float, ...]) -> Comparison:
    """`comparison` with one cell: each runtime (underscores for dashes) with one latency, or one for each round."""
    template = comparison.measurements[0]
    error = comparison.measurements[2].output_error
    rows = [
        replace(
            template,
            runtime=name.replace("_", "-"),
            latency_s=summarize([[s]] * 5 if isinstance(s, float) else [[each] for each in s]),
            output_error=error,
            peak_memory_bytes=100 if name.startswith("tvmopt") else 125,
        )
        for name, s in seconds.items()
    ]
    return replace(comparison, measurements=tuple(rows), verdicts=())
