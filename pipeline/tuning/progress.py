"""The progress of a task's tuning, and the events that report it to a listener."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from tvmopt.pipeline.support.progress import Event
from tvmopt.pipeline.tuning.measurer import Trial
from tvmopt.pipeline.types import Task
from tvmopt.schedules.space import Config, config_key


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task's progress at one moment.

    Attributes:
        task: the task.
        template: name of its template.
        flops: floating-point operations of one run.
        configs: size of its space.
        known: configs that earlier runs had measured.
        trials: measurements in this run.
        rejected: trials of this run that were wrong, crashed, hung or did not compile.
        default_s: median latency of the default config in seconds; None when it is not measured or failed.
        best_s: the lowest median latency of any config in seconds; None when none succeeded.
        best_config: the config with that latency.
        ended: why no more trials are spent on it; empty while they may be.
    """

    task: Task
    template: str
    flops: int
    configs: int
    known: int
    trials: int
    rejected: int
    default_s: float | None
    best_s: float | None
    best_config: Config | None
    ended: str

    @property
    def best_gflops(self) -> float | None:
        """Throughput of the best config in 10⁹ operations a second."""
        return self.flops / self.best_s / 1e9 if self.best_s else None


@dataclass(frozen=True, slots=True)
class PeakMeasured(Event):
    """The machine's peak of multiply-adds in registers was measured, with the target's number of threads.

    Attributes:
        flops_per_s: of float32.
        iops_per_s: of bytes; 0 where the model has no kernels of integers.
    """

    flops_per_s: float
    iops_per_s: float = 0.0

    def __str__(self) -> str:
        integers = f", {self.iops_per_s / 1e9:.0f} GIOP/s in bytes" if self.iops_per_s else ""
        return f"measured peak of multiply-adds: {self.flops_per_s / 1e9:.0f} GFLOP/s{integers}"


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """The search begins; `states` has all tasks and includes what earlier runs measured."""

    states: tuple[TaskState, ...]

    def __str__(self) -> str:
        return f"tuning {len(self.states)} tasks"


@dataclass(frozen=True, slots=True)
class TaskStarted(Event):
    """The first trials of a task are about to be measured."""

    state: TaskState

    def __str__(self) -> str:
        return f"{self.state.task.name}: first trials of {self.state.configs} configs"


@dataclass(frozen=True, slots=True)
class TrialDone(Event):
    """A trial was measured and its record is on disk; `state` includes it."""

    state: TaskState
    trial: Trial

    def __str__(self) -> str:
        took = f"{statistics.median(self.trial.latency_s) * 1e6:.1f} µs" if self.trial.latency_s else self.trial.error
        return f"{self.state.task.name}, trial {self.state.trials}: {self.trial.status}, {took}"


@dataclass(frozen=True, slots=True)
class TaskEnded(Event):
    """No more trials are spent on a task; `state.ended` says why."""

    state: TaskState

    def __str__(self) -> str:
        return f"{self.state.task.name}: ended, {self.state.ended}"


@dataclass(slots=True)
class Progress:
    """The running account of one task.

    A config that was measured several times counts with the median of all its samples: one lucky run does not win.

    Attributes:
        task: the task.
        template: name of its template.
        flops: floating-point operations of one run.
        configs: size of its space.
        default: the config to compare with.
        bests: the best median latency after each trial, earlier runs' included; infinite before the first success.
        ended: why no more trials are spent on it; empty while they may be.
        trials: measurements in this run.
        rejected: how many of them were rejected.
    """

    task: Task
    template: str
    flops: int
    configs: int
    default: Config
    bests: list[float] = field(default_factory=list)
    ended: str = ""
    trials: int = 0
    rejected: int = 0
    _nbytes: int = 0
    _known: set[tuple[tuple[str, int], ...]] = field(default_factory=set)
    _samples: dict[tuple[tuple[str, int], ...], list[list[float]]] = field(default_factory=dict)
    _medians: dict[tuple[tuple[str, int], ...], float] = field(default_factory=dict)

    def learn(self, trial: Trial, known: bool = False) -> None:
        """Adds a trial.

        Args:
            trial: the result.
            known: whether an earlier run measured it.
        """
        key = config_key(trial.config)
        if known:
            self._known.add(key)
        else:
            self.trials += 1
            self.rejected += trial.status != "ok"
        if trial.latency_s:
            runs = self._samples.setdefault(key, [])
            runs.append(list(trial.latency_s))
            self._medians[key] = statistics.median(sample for run in runs for sample in run)
        self.bests.append(self.best_s or float("inf"))

    @property
    def nbytes(self) -> int:
        """Bytes of all operands and the result: the least that one run moves."""
        if not self._nbytes:
            workload = self.task.workload
            self._nbytes = sum(tensor.nbytes for tensor in (*workload.inputs, workload.output))
        return self._nbytes

    @property
    def best_s(self) -> float | None:
        """The lowest median latency in seconds."""
        return min(self._medians.values(), default=None)

    @property
    def default_s(self) -> float | None:
        """The default config's median latency in seconds."""
        return self._medians.get(config_key(self.default))

    @property
    def since_best(self) -> int:
        """Trials since the best last improved."""
        return len(self.bests) - 1 - self.bests.index(min(self.bests)) if self.bests else 0

    def unconfirmed(self, count: int) -> list[Config]:
        """The configs that were measured only once, among the default and the `count` fastest."""
        fastest = sorted(self._medians, key=lambda key: self._medians[key])[:count]
        keys = dict.fromkeys([config_key(self.default), *fastest])
        return [dict(key) for key in keys if len(self._samples.get(key, ())) == 1]

    def state(self) -> TaskState:
        """A snapshot."""
        best = min(self._medians, key=lambda key: self._medians[key], default=None)
        return TaskState(
            task=self.task,
            template=self.template,
            flops=self.flops,
            configs=self.configs,
            known=len(self._known),
            trials=self.trials,
            rejected=self.rejected,
            default_s=self.default_s,
            best_s=self.best_s,
            best_config=None if best is None else dict(best),
            ended=self.ended,
        )
