"""The output of `tvmopt profile` for a program, as lines and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType

from tvmopt.cli.tables import Column, Table

FUNCTIONS = 3
"""Functions that a stage shows unless the user says how many."""

_LEAST_SHARE = 0.005
"""The smallest share of a call for which a function is shown."""


def program_parts(document: Mapping[str, Any], top: int | None) -> Iterator[RenderableType]:
    """All parts of the output, in order.

    Args:
        document: as `benchmarks.profiling.program.profile_program` describes it.
        top: how many functions each stage shows; `FUNCTIONS` when None.
    """
    yield (
        f"{document['program']['spec']}: {_ms(document['call_s'])} ms a call, the first {_ms(document['first_s'])} ms; "
        f"{document['calls']} more calls"
    )
    yield "\nThe first call"
    yield _table(document["first"], top or FUNCTIONS)
    yield "\nEach further call"
    yield _table(document["warm"], top or FUNCTIONS)
    yield (
        f"\nThe tables show traced calls, which take {_ms(document['traced_s'])} ms: the tracer slows a program, "
        "above all where it calls many small functions."
    )


def _table(stages: Sequence[Mapping[str, Any]], top: int) -> Table:
    """A row for each stage, followed by its longest functions."""
    whole = sum(stage["seconds"] for stage in stages) or 1.0
    grid = Table(
        Column("stage"),
        Column("function", least=16),
        Column("ms", number=True),
        Column("share", number=True),
        Column("calls", number=True, rank=1),
    )
    for stage in stages:
        grid.add(stage["stage"], "", _ms(stage["seconds"]), f"{stage['share']:.1%}", "")
        for row in stage["functions"][:top]:
            share = row["seconds"] / whole
            if share >= _LEAST_SHARE:
                grid.add("", row["function"], _ms(row["seconds"]), f"{share:.1%}", f"{row['calls']:.4g}")
    return grid


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f}"
