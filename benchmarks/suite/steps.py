"""Code that the suite's commands share: usable thread counts and progress on standard error."""

from __future__ import annotations

from collections.abc import Iterable

import click

from tvmopt.benchmarks.machine.environment import usable_cores
from tvmopt.pipeline.support.progress import Event, Listener, StepBegan


class EchoSteps(Listener):
    """Prints each step except rounds to standard error."""

    def tell(self, event: Event) -> None:
        """Prints one line per step."""
        if isinstance(event, StepBegan) and ": round " not in event.text:
            click.echo(event.text, err=True)


def fitting_threads(counts: Iterable[int]) -> tuple[int, ...]:
    """The thread counts that this process has enough cores for.

    Raises:
        click.UsageError: when it has enough for none.
    """
    cores = len(usable_cores())
    fitting = tuple(count for count in counts if count <= cores)
    if not fitting:
        raise click.UsageError(f"--threads is at most {cores}, the cores this process may use")
    return fitting
