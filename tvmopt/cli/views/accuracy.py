"""The output of `tvmopt evaluate`: a row for each runtime, what was evaluated, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tvmopt.benchmarks.report.accuracy import absent_rows, accuracy_heads, accuracy_lines, accuracy_notes
from tvmopt.cli.tables import Column, Table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tvmopt.benchmarks.measurements.accuracy import Accuracy


def parts(accuracy: Accuracy, name: str) -> Iterator[RenderableType]:
    """All parts of the output, in order."""
    from rich.text import Text

    yield Text(f"{name}: {accuracy.metric} on {accuracy.data}", style="bold")
    yield accuracy_table(accuracy)
    for line in absent_rows(accuracy):
        yield Text(f"  {line}", style="dim")
    for note in accuracy_notes(accuracy):
        yield Text(note, style="dim")


def accuracy_table(accuracy: Accuracy) -> Table:
    """The rows that were judged."""
    first, *others = accuracy_heads(accuracy)
    table = Table(
        Column(first, least=18),
        *(Column(head, number=True, rank=0 if place == 0 else 1) for place, head in enumerate(others)),
    )
    for line, loses in accuracy_lines(accuracy):
        table.add(*line, style="red" if loses else "")
    return table
