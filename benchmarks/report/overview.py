"""Several comparisons on one machine, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.report import words
from tvmopt.benchmarks.report.view import title_of
from tvmopt.benchmarks.runtimes.registry import place_of


@dataclass(frozen=True, slots=True)
class Overview:
    """Median latencies in ms: a line for each comparison and cell, a column for each runtime.

    Attributes:
        columns: the runtimes' titles.
        lines: model and cell, and the medians, with a dash for none.
    """

    columns: tuple[str, ...]
    lines: tuple[tuple[str, tuple[str, ...]], ...]


def view_overview(comparisons: Sequence[Comparison]) -> Overview:
    """The overview of comparisons on one machine."""
    present = {row.runtime for comparison in comparisons for row in comparison.measurements if row.status == "ok"}
    names = sorted(sorted(present), key=place_of)
    lines = []
    for comparison in comparisons:
        for batch, threads in comparison.cells():
            medians = {
                row.runtime: words.milliseconds(row.latency_s.median)
                for row in comparison.rows(batch, threads)
                if row.latency_s and row.status == "ok"
            }
            what = f"{comparison.model['name']}, {words.where(batch, threads)}"
            lines.append((what, tuple(medians.get(name, "–") for name in names)))
    return Overview(tuple(title_of(name) for name in names), tuple(lines))
