"""Tuning a whole model: from the import to a summary."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tvmopt.pipeline.devices.device import Device
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.errors import RuntimeMissingError, UsageError
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.support.progress import Listener
from tvmopt.pipeline.support.tvm import import_compiler
from tvmopt.pipeline.tasks.alternatives import tasks_of_all_ways
from tvmopt.pipeline.tasks.precision import in_integers
from tvmopt.pipeline.tuning.measure.workers import WorkerMeasurer, WorkerOptions
from tvmopt.pipeline.tuning.progress import PeakMeasured
from tvmopt.pipeline.tuning.rerank import time_finalists
from tvmopt.pipeline.tuning.search import INTERRUPTED, TuneOptions, TuneSummary, tune
from tvmopt.pipeline.types import ImportedModel, Task
from tvmopt.schedules.registry import kernel_for
from tvmopt.schedules.target import Target


def check_measurable(target: Target, device: Device = LOCAL) -> None:
    """Checks that kernels for `target` can be measured on `device`.

    Raises:
        RuntimeMissingError: when the device cannot run the target's code.
    """
    if not device.facts().can_run(target):
        machine = "this machine" if device is LOCAL else device.name
        raise RuntimeMissingError(
            f"tuning measures on the target, but {machine} cannot run code for {target.key}; "
            "tune on a machine that can and copy its records, or compile with the default schedules"
        )


NOTHING_TUNED = TuneSummary((), "nothing to tune", 0.0)
"""The summary of a model without tunable kernels."""


def tunable_tasks(models: Sequence[ImportedModel], target: Target, pattern: str = "*") -> tuple[Task, ...]:
    """The tasks of a model that have knobs to tune.

    Args:
        models: the imported model, once for each size of its inputs.
        target: what to tune for.
        pattern: a shell pattern that the task's name or one of its layers must match.

    Returns:
        Those tasks; none where no kernel of the model has knobs. The weight of a task that several sizes have is the
        sum of its weights there.

    Raises:
        UsageError: when there are some, but none matches.
    """
    import_compiler()
    tasks = [task for task in _of_all_sizes(models, target) if kernel_for(task.workload, target).has_knobs]
    chosen = tuple(
        task for task in tasks if any(fnmatch.fnmatchcase(name, pattern) for name in (task.name, *task.layers))
    )
    if tasks and not chosen:
        known = ", ".join(task.name for task in tasks)
        raise UsageError(f"no task matches {pattern!r} (tasks of {models[0].name}: {known})")
    return chosen


def _of_all_sizes(models: Sequence[ImportedModel], target: Target) -> list[Task]:
    """The tasks of each of `models`, those with the same workload made one."""
    found: dict[str, Task] = {}
    for model in models:
        for task in tasks_of_all_ways(model, target):
            known = found.get(task.name)
            found[task.name] = task if known is None else _together(known, task)
    return list(found.values())


def _together(first: Task, second: Task) -> Task:
    return replace(
        first,
        weight=first.weight + second.weight,
        layers=tuple(dict.fromkeys((*first.layers, *second.layers))),
        streamed_bytes=max(first.streamed_bytes, second.streamed_bytes),
        alternative=first.alternative and second.alternative,
    )


def tune_model(
    model: ImportedModel, target: Target, logs: Path, options: TuneOptions, listener: Listener | None = None
) -> TuneSummary:
    """Tunes every task of `model`, then times the finalists inside it.

    Records go to ``<logs>/<target key>/<model name>.jsonl``.

    Raises:
        BuildError, InputFileError, RuntimeMissingError: as `tune_tasks` and `time_finalists`.
    """
    store = RecordStore(logs, model.name)
    tasks = tunable_tasks((model,), target)
    if not tasks:
        return NOTHING_TUNED
    summary = tune_tasks(tasks, target, store, options, listener)
    if summary.stopped != INTERRUPTED:
        time_finalists((model,), target, store, options.finalists, listener, options.device)
    return summary


def tune_tasks(
    tasks: tuple[Task, ...],
    target: Target,
    store: RecordStore,
    options: TuneOptions,
    listener: Listener | None = None,
) -> TuneSummary:
    """Tunes `tasks` in worker processes: they build on this machine and run on the device of `options`.

    Raises:
        BuildError: when no worker process comes up.
        InputFileError: when the store has a corrupt line, or cannot be written.
        RuntimeMissingError: when the device cannot run the target's code, or there is no linker for it.
    """
    check_measurable(target, options.device)
    store.records()  # read early, so that a corrupt log fails before the workers start
    measurer = WorkerMeasurer(target, WorkerOptions(options.device, seed=options.seed))
    try:
        if listener is not None:
            integers = any(map(in_integers, tasks))
            iops_per_s = measurer.peak_iops_per_s() if integers else 0.0
            listener.tell(PeakMeasured(measurer.peak_flops_per_s(), iops_per_s))
        return tune(tasks, target, store, measurer, options, listener)
    finally:
        measurer.close()
