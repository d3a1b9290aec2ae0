"""What the suite's commands share: which thread counts they take, and how they tell what they do."""

from __future__ import annotations

from collections.abc import Iterable

import click

from tvmopt.benchmarks.machine.environment import usable_cores
from tvmopt.pipeline.support.progress import Event, Listener, StepBegan


class EchoSteps(Listener):
    """Says on standard error what is being done, rounds left out."""

    def tell(self, event: Event) -> None:
        """One line a step."""
        if isinstance(event, StepBegan) and ": round " not in event.text:
            click.echo(event.text, err=True)


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
