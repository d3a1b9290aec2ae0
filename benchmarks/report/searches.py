"""What the searches for the runtimes' best parameters found, as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvmopt.benchmarks.measurements.search import Search
from tvmopt.benchmarks.measurements.types import Comparison, Measurement
from tvmopt.benchmarks.report import words
from tvmopt.benchmarks.report.view import title_of

HEADS = ("runtime", "parameters", "over its defaults", "95 % interval", "tried")
DEFAULTS = "its defaults"


@dataclass(frozen=True, slots=True)
class SearchesView:
    """The searches in one cell.

    Attributes:
        where: batch size and thread count.
        lines: for each runtime, a text for each of `HEADS`.
    """

    where: str
    lines: tuple[tuple[str, ...], ...]


def view_searches(comparison: Comparison) -> list[SearchesView]:
    """The cells with searches, in order."""
    views = []
    for batch, threads in comparison.cells():
        rows = [row for row in comparison.rows(batch, threads) if row.search]
        if rows:
            views.append(SearchesView(words.where(batch, threads), tuple(_line(row, row.search) for row in rows)))
    return views


def _line(row: Measurement, search: Search | None) -> tuple[str, ...]:
    assert search is not None
    gain, interval = "–", ""
    if search.ratio is not None and search.interval is not None:
        gain, interval = words.times(1 / search.ratio), words.times_interval(search.interval)
    return (title_of(row.runtime), _found(search), f"{gain}×" if interval else gain, interval, _tried(search))


def _found(search: Search) -> str:
    if search.found:
        return ", ".join(f"{name}: {value}" for name, value in search.found.items())
    taken = [f"{trial.parameter}: {trial.value}" for trial in search.trials if trial.outcome == "taken"]
    reason = f" ({search.message})" if search.message else ""
    return f"{DEFAULTS}; {', '.join(taken)} was not confirmed{reason}" if taken else DEFAULTS


def _tried(search: Search) -> str:
    """How many values, and why some of them failed."""
    failed: Sequence[str] = [
        f"{trial.parameter}: {trial.value} ({trial.message})" for trial in search.trials if trial.outcome == "failed"
    ]
    return f"{len(search.trials)}, of them failed: {'; '.join(failed)}" if failed else str(len(search.trials))
