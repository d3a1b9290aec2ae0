"""What the suite's commands share: which thread counts they take, and how they tell what they do."""

from __future__ import annotations

from collections.abc import Iterable

import click

from tvmopt.benchmarks.machine.environment import usable_cores
from tvmopt.benchmarks.measurements.options import Listener


class EchoSteps(Listener):
    """Says on standard error what is being done, rounds left out."""

    def step(self, what: str) -> None:
        """One line a step."""
        if ": round " not in what:
            click.echo(what, err=True)


def fitting_threads(counts: Iterable[int]) -> tuple[int, ...]:
    """Those of the thread counts that this process has cores for.

    Raises:
        click.UsageError: when it has for none.
    """
    cores = len(usable_cores())
    fitting = tuple(count for count in counts if count <= cores)
    if not fitting:
        raise click.UsageError(f"--threads is at most {cores}, the cores this process may use")
    return fitting
