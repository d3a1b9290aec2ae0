"""What a tuning run shows: a live table of tasks, and the summary at its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tvmopt.cli.consoles import shortened

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import RenderableType

    from tvmopt.pipeline.tuning.progress import Event, TaskState
    from tvmopt.pipeline.tuning.search import TuneSummary

REFRESH_S = 0.5
MAX_ROWS = 24


class TuningView:
    """A listener of a tuning run that draws.

    Args:
        console: where to draw.
        trials: how many the run may spend.
    """

    def __init__(self, console: Console, trials: int) -> None:
        self.console = console
        self.states: dict[str, TaskState] = {}
        self.peak_flops_per_s = 0.0
        self.progress = Progress(
            TextColumn("[bold]tuning"), BarColumn(), MofNCompleteColumn(), TextColumn("trials"), TimeElapsedColumn()
        )
        self.bar = self.progress.add_task("trials", total=trials)
        self.live = Live(console=console, auto_refresh=False, transient=True)
        self.drawn_s = 0.0

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def __call__(self, event: Event) -> None:
        """Takes a task's new state and draws, not too often."""
        from tvmopt.pipeline.tuning.progress import PeakMeasured, RunStarted, TrialDone

        if isinstance(event, PeakMeasured):
            self.peak_flops_per_s = event.flops_per_s
            self.console.print(f"measured peak of multiply-adds: {event.flops_per_s / 1e9:.0f} GFLOP/s")
            return
        states = event.states if isinstance(event, RunStarted) else (event.state,)
        self.states.update({state.task.name: state for state in states})
        if isinstance(event, TrialDone):
            self.progress.advance(self.bar)
        now = time.monotonic()
        if now - self.drawn_s > REFRESH_S:
            self.drawn_s = now
            self.live.update(self._render(), refresh=True)

    def table(self, rows: int | None = None) -> Table:
        """The tasks, those that take most of the model's time first.

        Args:
            rows: how many at most; None for all.
        """
        shown = sorted(self.states.values(), key=_time_s, reverse=True)
        total_s = sum(_time_s(state) for state in shown) or 1.0
        table = Table(box=None, header_style="bold")
        columns = ("task", "layer", "share", "best GFLOP/s", "of peak", "gain", "trials", "rejected")
        for name in columns:
            table.add_column(name, justify="left" if name in ("task", "layer") else "right", no_wrap=True)
        for state in shown[:rows]:
            gflops = state.best_gflops
            table.add_row(
                state.task.name,
                shortened(state.task.layers),
                f"{_time_s(state) / total_s:.0%}" if state.best_s else "",
                f"{gflops:.0f}" if gflops else "",
                f"{gflops * 1e9 / self.peak_flops_per_s:.0%}" if gflops and self.peak_flops_per_s else "",
                f"{state.default_s / state.best_s:.2f}×" if state.default_s and state.best_s else "",
                str(state.trials),
                str(state.rejected) if state.rejected else "",
            )
        return table

    def _render(self) -> RenderableType:
        return Group(self.table(MAX_ROWS), self.progress)


def summary_lines(summary: TuneSummary, logs: str) -> list[str]:
    """What the run cost and what it won."""
    cost = f"{summary.trials} trials in {summary.wall_s:.0f} s ({summary.trials_per_s:.1f}/s)"
    lines = [f"{cost}, {summary.rejected} rejected; ended: {summary.stopped}"]
    idle = sum(not state.trials and not state.known for state in summary.states)
    if idle:
        lines.append(
            f"{idle} of {len(summary.states)} tasks had no trial yet; the same command again goes on with them"
        )
    before_ms, after_ms = summary.before_s * 1e3, summary.after_s * 1e3
    if after_ms:
        gain = f"{before_ms:.3f} ms with defaults, {after_ms:.3f} ms tuned ({before_ms / after_ms:.2f}×)"
        lines.append(f"the model's tuned kernels: {gain}")
    lines.append(f"records: {logs}")
    return lines


def _time_s(state: TaskState) -> float:
    return state.task.weight * (state.best_s or 0.0)
