"""The output of a tuning run: a live table of tasks, and a summary at the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from tvmopt.cli.consoles import first_of
from tvmopt.cli.tables import Column, Table
from tvmopt.cli.views.inspect import giga, kib
from tvmopt.pipeline.support.progress import Event, Listener, StepBegan
from tvmopt.pipeline.tasks.precision import in_integers, task_precision
from tvmopt.pipeline.tuning.progress import PeakMeasured, RunStarted, TaskEnded, TaskStarted, TrialDone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from rich.console import RenderableType

    from tvmopt.jobs.tuning import TuneResult
    from tvmopt.pipeline.tuning.progress import TaskState
    from tvmopt.pipeline.tuning.search import TuneSummary
    from tvmopt.pipeline.types import Task

REFRESH_S = 0.5
MAX_ROWS = 24


class TuningView(Listener):
    """A listener that draws a tuning job's progress; a context manager.

    Args:
        console: where to draw.
        trials: the job's budget of trials.
    """

    def __init__(self, console: Console, trials: int) -> None:
        super().__init__()
        self.console = console
        self.states: dict[str, TaskState] = {}
        self.step = Text("starting")
        self.peaks = PeakMeasured(0.0)
        self.progress = Progress(
            TextColumn("[bold]tuning"), BarColumn(), MofNCompleteColumn(), TextColumn("trials"), TimeElapsedColumn()
        )
        self.bar = self.progress.add_task("trials", total=trials)
        self.live = Live(console=console, auto_refresh=False, transient=True)
        self.drawn_s = 0.0

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def tell(self, event: Event) -> None:
        """Records a step or a task's new state, and redraws: at each step, but not at every trial."""
        now = time.monotonic()
        match event:
            case PeakMeasured():
                self.peaks = event
                self.console.print(str(event))
                return
            case StepBegan():
                self.step = Text(event.text)
            case RunStarted():
                self.states = {state.task.name: state for state in event.states}
            case TrialDone() | TaskStarted() | TaskEnded():
                self.states[event.state.task.name] = event.state
                if isinstance(event, TrialDone):
                    self.progress.advance(self.bar)
                if now - self.drawn_s <= REFRESH_S:
                    return
        self.drawn_s = now
        if self.live.is_started:
            self.live.update(self._render(), refresh=True)

    def _render(self) -> RenderableType:
        if not self.states:
            return self.step
        states = tuple(self.states.values())
        return Group(task_table(states, self.peaks, MAX_ROWS), self.step, self.progress)


def parts(result: TuneResult | None, peaks: PeakMeasured) -> Iterator[RenderableType]:
    """All parts of the final output, in order; nothing when the job was stopped before the search."""
    if result is None:
        return
    if not result.summary.states:
        yield "nothing to tune: none of the model's kernels has more than one form"
        return
    yield task_table(result.summary.states, peaks)
    yield from summary_lines(result.summary, str(result.log), result.sizes)
    if result.finalists is not None:
        yield f"{result.finalists} finalists timed inside the model in {result.finals_s:.0f} s"


def task_table(states: Sequence[TaskState], peaks: PeakMeasured, rows: int | None = None) -> Table:
    """The tasks, in decreasing order of their share of the model's time.

    Args:
        states: the states of the tasks.
        peaks: the machine's; 0 where unknown.
        rows: the maximum number of rows; None for all.
    """
    shown = sorted(states, key=_time_s, reverse=True)
    total_s = sum(_time_s(state) for state in shown) or 1.0
    integers = any(in_integers(state.task) for state in shown)
    table = Table(
        Column("task"),
        Column("layer", least=16),
        Column("precision", rank=3),
        Column("share", number=True),
        Column("GFLOP", number=True, rank=4),
        *([Column("GIOP", number=True, rank=4)] if integers else []),
        Column("KiB moved", number=True, rank=4),
        Column("best Gop/s" if integers else "best GFLOP/s", number=True),
        Column("of peak", number=True, rank=1),
        Column("gain", number=True),
        Column("trials", number=True),
        Column("rejected", number=True, rank=2),
    )
    for state in shown[:rows]:
        gflops, bytewise = state.best_gflops, in_integers(state.task)
        peak = peaks.iops_per_s if bytewise else peaks.flops_per_s
        operations = giga(state.flops)
        both = (("", operations) if bytewise else (operations, "")) if integers else (operations,)
        table.add(
            state.task.name,
            first_of(state.task.layers),
            task_precision(state.task),
            f"{_time_s(state) / total_s:.0%}" if state.best_s else "",
            *both,
            kib(_nbytes(state.task)),
            _figures(gflops) if gflops else "",
            f"{gflops * 1e9 / peak:.0%}" if gflops and peak else "",
            f"{state.default_s / state.best_s:.2f}×" if state.default_s and state.best_s else "",
            str(state.trials),
            str(state.rejected) if state.rejected else "",
        )
    return table


def summary_lines(summary: TuneSummary, logs: str, sizes: int = 1) -> list[str]:
    """The run's cost and gain."""
    cost = f"{summary.trials} trials in {summary.wall_s:.0f} s ({summary.trials_per_s:.1f}/s)"
    lines = [f"{cost}, {summary.rejected} rejected; ended: {summary.stopped}"]
    idle = sum(not state.trials and not state.known for state in summary.states)
    if idle:
        lines.append(
            f"{idle} of {len(summary.states)} tasks had no trial yet; run the same command again to continue with them"
        )
    before_ms, after_ms = summary.before_s * 1e3, summary.after_s * 1e3
    if after_ms:
        gain = f"{before_ms:.3g} ms with defaults, {after_ms:.3g} ms tuned ({before_ms / after_ms:.2f}×)"
        where = f", one run in each of {sizes} sizes" if sizes > 1 else ""
        lines.append(f"the model's tuned kernels{where}: {gain}")
    lines.append(f"records: {logs}")
    return lines


def _nbytes(task: Task) -> int:
    """Bytes of a kernel's operands and of its result."""
    return task.workload.output.nbytes + sum(operand.nbytes for operand in task.workload.inputs)


def _figures(number: float) -> str:
    """A number without decimals, or with two figures if it is below 10."""
    return f"{number:.0f}" if number >= 9.5 else f"{number:.2g}"


def _time_s(state: TaskState) -> float:
    return state.task.weight * (state.best_s or 0.0)
