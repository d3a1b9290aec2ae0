"""The progress of a job as one line on a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from tvmopt.pipeline.support.progress import Event, Listener, PartDone, StepBegan

if TYPE_CHECKING:
    from rich.console import Console


class ProgressLine(Listener):
    """A bar that moves with each step; a context manager.

    It is drawn only on events, never from a separate thread, which would take a core from the measurement.

    Args:
        console: where it is drawn.
    """

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        super().__init__()
        columns = (BarColumn(bar_width=24), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        self._bar = Progress(
            *columns, console=console, auto_refresh=False, transient=True, disable=not console.is_terminal
        )
        self._task = self._bar.add_task("starting", total=None)
        self._trials = 0
        self._before = 0
        self._what = ""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def tell(self, event: Event) -> None:
        """Advances with each step and each part of one, and counts the trials of a tuning run."""
        from rich.markup import escape

        from tvmopt.pipeline.tuning.progress import TrialDone

        if isinstance(event, StepBegan):
            self._what, self._trials, self._before = escape(event.text), 0, event.number - 1
            self._bar.update(self._task, total=event.of, completed=self._before)
            self._draw(self._what)
        elif isinstance(event, PartDone):
            if event.of:
                self._bar.update(self._task, completed=self._before + min(1.0, event.done / event.of))
            self._draw(f"{self._what}, {escape(str(event))}")
        elif isinstance(event, TrialDone):
            self._trials += 1
            self._draw(f"{self._what}, {self._trials} trials")

    def _draw(self, what: str) -> None:
        self._bar.update(self._task, description=what)
        self._bar.refresh()


class StatusLine(Listener):
    """A spinner beside the current step, for jobs that measure nothing; a context manager.

    Args:
        console: where it is drawn.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._status = console.status("starting")

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()

    def tell(self, event: Event) -> None:
        """Shows the step that has begun."""
        from rich.text import Text

        if isinstance(event, StepBegan):
            self._status.update(Text(event.text))
