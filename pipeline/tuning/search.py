"""The search: spends trials over all tasks of a model, and writes every result to disk before it takes the next."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tvmopt.pipeline.devices.device import Device
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.errors import CancelledError, UsageError
from tvmopt.pipeline.records.record import Record, target_facts
from tvmopt.pipeline.records.related import TransferQuery
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.support.interrupts import ctrl_c_later
from tvmopt.pipeline.support.progress import Listener
from tvmopt.pipeline.support.tvm import tvm_version
from tvmopt.pipeline.tuning.candidates import Candidates
from tvmopt.pipeline.tuning.measurer import Measurer, TemplateOf, Trial
from tvmopt.pipeline.tuning.progress import Progress, RunStarted, TaskEnded, TaskStarted, TaskState, TrialDone
from tvmopt.pipeline.tuning.related_samples import RelatedSamples
from tvmopt.pipeline.tuning.scheduler import Scheduler
from tvmopt.pipeline.tuning.tuners import check_tuner, make_tuner
from tvmopt.pipeline.tuning.tuners.base import Tuner
from tvmopt.pipeline.types import Task
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target

INTERRUPTED = "interrupted"
"""`TuneSummary.stopped` after Ctrl-C, or when the listener asked for a stop."""


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """How to search.

    Attributes:
        trials: how many configs to measure in this run, all tasks together.
        time_limit_s: when to stop, in seconds; None for never.
        tuner: a key of `pipeline.tuning.tuners.TUNERS`.
        early_stopping: a task ends after this many trials without a better one, earlier runs' included; None for never.
        seed: fixes every random choice.
        batch_size: configs proposed at a time; the cost model learns after each batch.
        finalists: at the end, this many of each task's fastest configs, and its default, are timed again, beyond
            `trials`: the fastest of many noisy measurements was also the luckiest. 0 for none.
        template_of: chooses the template of a workload.
        device: where configs are measured, and finalists timed.

    Raises:
        UsageError: when the tuner is unknown or a number is too small.
    """

    trials: int = 1000
    time_limit_s: float | None = None
    tuner: str = "xgb"
    early_stopping: int | None = None
    seed: int = 0
    batch_size: int = 8
    finalists: int = 3
    template_of: TemplateOf = template_for
    device: Device = LOCAL

    def __post_init__(self) -> None:
        check_tuner(self.tuner)
        for name, least in (("trials", 0), ("early_stopping", 1), ("batch_size", 1), ("finalists", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} must be at least {least}, got {value}")
        if self.time_limit_s is not None and not self.time_limit_s > 0:
            raise UsageError(f"time_limit_s must be above 0, got {self.time_limit_s}")


@dataclass(frozen=True, slots=True)
class TuneSummary:
    """What a run cost and what it gained.

    Attributes:
        states: the state of each task, in the order given.
        stopped: why the run ended: ``trials``, ``time limit``, ``all tasks ended``,
            ``interrupted`` or ``nothing to tune``.
        wall_s: how long it took, in seconds.
    """

    states: tuple[TaskState, ...]
    stopped: str
    wall_s: float

    @property
    def trials(self) -> int:
        """Configs measured in this run."""
        return sum(state.trials for state in self.states)

    @property
    def rejected(self) -> int:
        """How many of them were rejected."""
        return sum(state.rejected for state in self.states)

    @property
    def trials_per_s(self) -> float:
        """Trials a second, everything included."""
        return self.trials / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def compared(self) -> tuple[TaskState, ...]:
        """The tasks whose default and best latencies are both known, without alternatives to other tasks.

        `before_s` and `after_s` sum over them.
        """
        tasks = (state for state in self.states if not state.task.alternative)
        return tuple(state for state in tasks if state.default_s is not None and state.best_s is not None)

    @property
    def before_s(self) -> float:
        """Time of the model's kernels with default configs, in seconds: weight × latency, summed over `compared`."""
        return math.fsum(state.task.weight * (state.default_s or 0.0) for state in self.compared)

    @property
    def after_s(self) -> float:
        """The same with the best configs."""
        return math.fsum(state.task.weight * (state.best_s or 0.0) for state in self.compared)


def tune(  # noqa: PLR0913 # the parts of a run, each of another type; the options say how to search
    tasks: Sequence[Task],
    target: Target,
    store: RecordStore,
    measurer: Measurer,
    options: TuneOptions | None = None,
    listener: Listener | None = None,
) -> TuneSummary:
    """Searches for the fastest config of each task.

    The tuners learn configs that the store has for a task, its template's version, the target and the measurer's
    processor; these are not measured again. Other records only guide the search. Each trial is appended to the store
    as soon as it is known. Ctrl-C, or a listener that asks for a stop, ends the run normally, with a summary; what was
    measured is kept.

    Args:
        tasks: what to tune, with the weights that decide where trials go.
        target: what to tune for; the measurer must measure on it.
        store: takes the records.
        measurer: builds, checks and times configs; not closed here.
        options: how to search.
        listener: receives events; may ask for a stop, which takes effect after the current trial.

    Returns:
        The state of each task, why the run ended, and how long it took in seconds.

    Raises:
        InputFileError: when the store has a corrupt line, or cannot be written.
    """
    run = _Run(tasks, _Bench(target, store, measurer), options or TuneOptions(), listener or Listener())
    try:
        run.search()
        run.confirm()
    except (KeyboardInterrupt, CancelledError):
        run.stopped = INTERRUPTED
    return run.summary()


@dataclass(frozen=True, slots=True)
class _Bench:
    """Where trials are measured and filed."""

    target: Target
    store: RecordStore
    measurer: Measurer


class _TaskRun:
    """One task with its tuner and progress."""

    def __init__(self, task: Task, bench: _Bench, options: TuneOptions) -> None:
        target, store = bench.target, bench.store
        self.template = options.template_of(task.workload, target)
        candidates = Candidates.of(self.template, task.workload, target)
        subject = TransferQuery(task.workload, target, self.template, bench.measurer.cpu)
        related = RelatedSamples(store, subject, candidates)
        self.tuner: Tuner = make_tuner(options.tuner, candidates, options.seed, related)
        default = self.template.default(task.workload, target)
        flops = self.template.flops(task.workload)
        self.progress = Progress(task, self.template.name, flops, len(candidates), default)
        history = store.history(task.workload.key, target.key, self.template.name, self.template.version)
        known = [Trial.of(record) for record in history if record.cpu == subject.cpu and not record.in_model]
        if target.strict_nan:
            space = self.template.space(task.workload, target)
            known = [trial for trial in known if space.contains(trial.config)]
        self.tuner.learn(known)
        for trial in known:
            self.progress.learn(trial, known=True)


class _Run:
    """One call of `tune`."""

    def __init__(self, tasks: Sequence[Task], bench: _Bench, options: TuneOptions, listener: Listener) -> None:
        self.bench, self.options, self.listener = bench, options, listener
        self.began = time.monotonic()
        self.stopped = "trials"
        self.runs = {task.name: _TaskRun(task, bench, options) for task in tasks}
        self.first = min(options.batch_size, max(1, options.trials // max(1, len(tasks))))
        self.scheduler = Scheduler([run.progress for run in self.runs.values()], self.first)

    def search(self) -> None:
        """Spends the trials."""
        self.listener.tell(RunStarted(tuple(run.progress.state() for run in self.runs.values())))
        left = self.options.trials
        while left > 0:
            self.listener.check()
            progress = self.scheduler.next()
            if progress is None or self._left_s() <= self._reserve_s():
                self.stopped = "all tasks ended" if progress is None else "time limit"
                return
            run = self.runs[progress.task.name]
            size = self.options.batch_size if len(progress.bests) >= self.first else self.first
            configs = run.tuner.propose(min(size, left))
            left -= self._measure(run, configs)
            self._end_if_done(progress, exhausted=not configs)

    def confirm(self) -> None:
        """Times the default and the finalists of each task of this run again."""
        if not self.options.finalists:
            return
        for run in self.runs.values():
            if run.progress.trials and self._left_s() > 0:
                self._measure(run, run.progress.unconfirmed(self.options.finalists))

    def summary(self) -> TuneSummary:
        """The outcome so far."""
        states = tuple(run.progress.state() for run in self.runs.values())
        return TuneSummary(states, self.stopped, time.monotonic() - self.began)

    def _measure(self, run: _TaskRun, configs: Sequence[Config]) -> int:
        """Measures, files and learns `configs`; returns how many trials that took."""
        progress, done = run.progress, 0
        if configs and not progress.trials:
            self.listener.tell(TaskStarted(progress.state()))
        for trial in self.bench.measurer.measure(progress.task, configs) if configs else ():
            # A trial that is filed is also counted, whenever Ctrl-C arrives.
            with ctrl_c_later():
                self.bench.store.append(self._record(run, trial))
                run.tuner.learn([trial])
                progress.learn(trial)
            done += 1
            self.listener.tell(TrialDone(progress.state(), trial))
            self.listener.check()
            if self._left_s() <= 0:
                break
        return done

    def _record(self, run: _TaskRun, trial: Trial) -> Record:
        return Record(
            workload=run.progress.task.workload,
            target_key=self.bench.target.key,
            target=target_facts(self.bench.target),
            template=run.template.name,
            template_version=run.template.version,
            config=dict(trial.config),
            status=trial.status,
            latency_s=trial.latency_s,
            error=trial.error,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            tvm_version=tvm_version(),
            cpu=self.bench.measurer.cpu,
        )

    def _end_if_done(self, progress: Progress, exhausted: bool) -> None:
        patience = self.options.early_stopping
        if exhausted:
            progress.ended = "all configs measured"
        elif patience is not None and progress.since_best >= patience:
            progress.ended = "early stopping"
        if progress.ended:
            self.listener.tell(TaskEnded(progress.state()))

    def _left_s(self) -> float:
        limit = self.options.time_limit_s
        return math.inf if limit is None else limit - (time.monotonic() - self.began)

    def _reserve_s(self) -> float:
        """Seconds that `confirm` will need at this run's pace, but at most a fifth of the time limit."""
        limit = self.options.time_limit_s
        trials = sum(run.progress.trials for run in self.runs.values())
        if limit is None or not trials or not self.options.finalists:
            return 0.0
        finals = sum(len(run.progress.unconfirmed(self.options.finalists)) for run in self.runs.values())
        return min(limit / 5, finals * (time.monotonic() - self.began) / trials)
