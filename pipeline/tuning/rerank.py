"""Finals: times the fastest configs of each task again where they will run, inside the model.

A kernel that runs alone finds its data, its weights and the machine's memory in a different state than between the
kernels of a model: a config that wins alone by a few percent may lose there. So the model is built once for each place
in the ranking, with the configs of that place, and the builds run in turn. A kernel's times inside the model decide
(`pipeline.records.store`).
"""

from __future__ import annotations

import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tvmopt.pipeline.compiler.compile import Ready, write_artifact
from tvmopt.pipeline.compiler.kernels.forge import Forge
from tvmopt.pipeline.compiler.native.linker import linker_of
from tvmopt.pipeline.devices.device import Device
from tvmopt.pipeline.devices.program import Program
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.devices.run_once import run_once
from tvmopt.pipeline.importers.golden import golden_pair
from tvmopt.pipeline.records.ranking import ranked
from tvmopt.pipeline.records.record import Record
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.support.interrupts import ctrl_c_later, interruptible
from tvmopt.pipeline.support.progress import Listener, Steps
from tvmopt.pipeline.support.tvm import tvm_version
from tvmopt.pipeline.tasks.alternatives import optimize_all_ways
from tvmopt.pipeline.tasks.bind import BoundModel
from tvmopt.pipeline.tasks.choose_configs import TaskChoice
from tvmopt.pipeline.tasks.extract import extract_tasks
from tvmopt.pipeline.types import ImportedModel, Step, Task
from tvmopt.schedules.registry import kernel_for
from tvmopt.schedules.space import Config, config_key
from tvmopt.schedules.target import Target

SECONDS = 12.0
"""About how long the builds of a model run in turn."""

_MODULE = "tvmopt.pipeline.tuning.rerank_worker"
_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Finalists:
    """Records of a task's default and fastest configs, timed alone; one for each config, fastest first.

    Where the default was not measured its record has the time of another config.
    """

    task: Task
    records: tuple[Record, ...]

    @staticmethod
    def of(task: Task, target: Target, store: RecordStore, count: int, cpu: str) -> Finalists:
        """The default, and the `count` fastest that were measured alone on the processor `cpu`.

        The default takes part even if it was never measured: it may be newer than the records.
        """
        kernel = kernel_for(task.workload, target)
        template, space, default = kernel.template, kernel.space, kernel.default
        alone = [
            record
            for record in store.history(task.name, target.key, template.name, template.version)
            if record.cpu == cpu and record.latency_s and not record.in_model and space.contains(record.config)
        ]
        own = [record for record in alone if config_key(record.config) == config_key(default)]
        others = [record for record in alone if config_key(record.config) != config_key(default)]
        if others and not own:
            own = [replace(others[-1], config=default)]  # its time comes from the model
        chosen = [*own[-1:], *ranked(others, count)]
        return Finalists(task, tuple(sorted(chosen, key=lambda record: record.median_s or 0.0)))

    def config(self, place: int, target: Target) -> Config:
        """The config at `place` in the ranking, which starts again at its end; the default if there is none."""
        if not self.records:
            return kernel_for(self.task.workload, target).default
        return self.records[place % len(self.records)].config


def time_finalists(  # noqa: PLR0913 # the parts of a run, each of another type
    models: Sequence[ImportedModel],
    target: Target,
    store: RecordStore,
    count: int,
    listener: Listener | None = None,
    device: Device = LOCAL,
) -> int:
    """Times the default and the `count` fastest recorded configs of each task inside a model, and files the times.

    Where the graph can be cut into kernels in several ways, each way is timed. Ctrl-C, a stop that the listener asks
    for, or a failure leaves the store unchanged.

    Args:
        models: the imported model, once for each size of its inputs; a kernel that several have gets the times of all.
        target: what to build for; the device must be able to run it.
        store: has the tasks' records, and takes the new ones.
        count: finalists of each task besides the default.
        listener: receives progress; may ask for a stop.
        device: where the builds run.

    Returns:
        How many records were added: 0 when no task has two configs to choose from.

    Raises:
        BuildError: when a build fails, does not run, or computes other outputs than the model.
        CancelledError: when the listener asked for a stop.
        InputFileError: when the store has a corrupt line, or cannot be written.
    """
    linker_of(target)  # fails now if it is missing, rather than after minutes of compiling
    cpu = device.facts().cpu
    timed: list[Sequence[Finalists]] = []
    samples: dict[tuple[str, tuple[tuple[str, int], ...]], list[float]] = defaultdict(list)
    for number, model in enumerate(models, 1):
        what = f"the model in size {number} of {len(models)}" if len(models) > 1 else "the model"
        ways = [way.model for way in optimize_all_ways(model, target)]
        finals = [[Finalists.of(task, target, store, count, cpu) for task in extract_tasks(way)] for way in ways]
        if any(len(task.records) > 1 for way in finals for task in way):
            timed += finals
            for key, taken in _time(_Contest(model, what, ways, finals), target, listener, device).items():
                samples[key] += taken
    return _file(store, timed, samples)


@dataclass(frozen=True, slots=True)
class _Contest:
    """A model in one size, called `what`, with the finalists of each way to cut its graph."""

    model: ImportedModel
    what: str
    ways: Sequence[BoundModel]
    finals: Sequence[Sequence[Finalists]]


def _time(contest: _Contest, target: Target, listener: Listener | None, device: Device) -> _Samples:
    """Seconds of each finalist inside the model, in builds that run in turn."""
    golden = golden_pair(contest.model)
    with tempfile.TemporaryDirectory(prefix="tvmopt-finals-") as name, Forge() as forge:
        builds: list[_Build] = []
        plans = [
            (way, tasks, place)
            for way, tasks in zip(contest.ways, contest.finals, strict=True)
            for place in range(max((len(task.records) for task in tasks), default=0))
        ]
        steps = Steps(listener, len(plans) + 1)
        for number, (way, tasks, place) in enumerate(plans):
            steps.begin(f"building {contest.what} with its finalists, {number + 1} of {len(plans)}")
            path = Path(name) / f"{number}.tar"
            choices = tuple(_choice(task, place, target) for task in tasks)
            with interruptible():
                calls = write_artifact((Ready(contest.model, way, choices, golden),), path, forge)[0].steps
            builds.append(_Build(path, calls, {choice.task.name: choice.config for choice in choices}))
        steps.begin(f"timing {len(builds)} builds of {contest.what} in turn")
        arguments = (f"{SECONDS:g}", *(device.send(build.path) for build in builds))
        program = Program(_MODULE, arguments, target.threads)
        times = run_once(device, program, _LIMIT_S, "timing the finalists inside the model")
        steps.end()
    return _samples(builds, times)


@dataclass(frozen=True, slots=True)
class _Build:
    """An artifact with the configs of its tasks."""

    path: Path
    steps: Sequence[Step]
    configs: Mapping[str, Config]


_Samples = Mapping[tuple[str, tuple[tuple[str, int], ...]], Sequence[float]]
"""Seconds by task and config."""


def _choice(task: Finalists, place: int, target: Target) -> TaskChoice:
    config = task.config(place, target)
    algorithm, knobs = kernel_for(task.task.workload, target).algorithm(config)
    return TaskChoice(task.task, config, algorithm, knobs, "record", None)


def _samples(builds: Sequence[_Build], times: Sequence[Sequence[Sequence[float]]]) -> _Samples:
    """For each task and config the mean over its calls in a run, in seconds; of each build's runs, the faster half.

    The slower runs may have had other programs beside them. Kernels that run alone use a probe to detect that
    (`pipeline.tuning.measure.quiet_machine`); between the kernels of a model it would change what the caches hold.
    """
    samples: dict[tuple[str, tuple[tuple[str, int], ...]], list[float]] = defaultdict(list)
    for build, rounds in zip(builds, times, strict=True):
        places = defaultdict[str, list[int]](list)
        for place, step in enumerate(build.steps):
            if step.task:
                places[step.task].append(place)
        for task, calls in places.items():
            key = (task, config_key(build.configs[task]))
            samples[key] += _faster_half([sum(run[call] for call in calls) / len(calls) for run in rounds])
    return samples


def _faster_half(seconds: Sequence[float]) -> list[float]:
    """The values that are not above the median, in their order."""
    limit = statistics.median_low(seconds)
    return [second for second in seconds if second <= limit]


def _file(store: RecordStore, finals: Sequence[Sequence[Finalists]], samples: _Samples) -> int:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    new = {
        (record.workload_key, config_key(record.config)): replace(
            record, latency_s=tuple(taken), in_model=True, time=now, tvm_version=tvm_version()
        )
        for record in _all(finals)
        if (taken := samples.get((record.workload_key, config_key(record.config))))
    }
    with ctrl_c_later():
        for record in new.values():
            store.append(record)
    return len(new)


def _all(finals: Sequence[Sequence[Finalists]]) -> Iterator[Record]:
    """The records of all tasks that have something to choose from."""
    for way in finals:
        for task in way:
            if len(task.records) > 1:
                yield from task.records
