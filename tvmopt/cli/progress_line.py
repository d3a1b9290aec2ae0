"""The progress of a comparison as one line on a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tvmopt.benchmarks.measurements.options import Listener

if TYPE_CHECKING:
    from rich.console import Console


class ProgressLine(Listener):
    """A bar that moves with each step; a context manager.

    It is drawn only when a step begins, never from a thread of its own, which would take a core from what is measured.

    Args:
        console: where it is drawn.
    """

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        columns = (BarColumn(bar_width=24), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        self._bar = Progress(
            *columns, console=console, auto_refresh=False, transient=True, disable=not console.is_terminal
        )
        self._task = self._bar.add_task("starting", total=None)
        self._trials = 0
        self._what = ""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, steps: int) -> None:
        """Sets how many steps there are."""
        self._bar.update(self._task, total=steps, completed=-1)

    def step(self, what: str) -> None:
        """Moves on and says what is being done."""
        from rich.markup import escape

        self._what, self._trials = escape(what), 0
        self._bar.update(self._task, advance=1, description=self._what)
        self._bar.refresh()

    def tuning(self, event: Any) -> None:
        """Counts the trials of a tuning run; takes the events of `pipeline.tuning.progress`."""
        from tvmopt.pipeline.tuning.progress import TrialDone

        if isinstance(event, TrialDone):
            self._trials += 1
            self._bar.update(self._task, description=f"{self._what}, {self._trials} trials")
            self._bar.refresh()
