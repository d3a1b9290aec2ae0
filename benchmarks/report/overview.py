"""Several comparisons on one machine, side by side, and the cells of one."""

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


SWEEP, MOST = "All batch sizes and thread counts: median ms (FPS)", "most FPS at"
"""The heading of a sweep, and the head of its last column."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One comparison over several cells: a line for each runtime.

    Attributes:
        columns: the cells: batch size and thread count.
        lines: a runtime's title, its median latency in ms and FPS in each cell, with a dash for none, and the cell in
            which it has most FPS.
    """

    columns: tuple[str, ...]
    lines: tuple[tuple[str, tuple[str, ...], str], ...]


def view_sweep(comparison: Comparison) -> Sweep | None:
    """The cells of a comparison in one table; None where there is one cell only."""
    cells = comparison.cells()
    if len(cells) < 2:
        return None
    measured = {
        (row.runtime, row.batch, row.threads): (row.latency_s.median, row.fps or 0.0)
        for row in comparison.measurements
        if row.latency_s and row.status == "ok"
    }
    lines = []
    for name in dict.fromkeys(runtime for runtime, _, _ in measured):
        numbers = {cell: measured[name, *cell] for cell in cells if (name, *cell) in measured}
        texts = {
            cell: f"{words.milliseconds(median_s)} ({words.significant(fps)})"
            for cell, (median_s, fps) in numbers.items()
        }
        most = max(numbers, key=lambda cell: numbers[cell][1])
        lines.append((title_of(name), tuple(texts.get(cell, "–") for cell in cells), words.where(*most)))
    return Sweep(tuple(words.where(*cell) for cell in cells), tuple(lines))


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
