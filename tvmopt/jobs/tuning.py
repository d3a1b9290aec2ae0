"""Tuning a model: searches over its kernels, then times the finalists inside the model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tvmopt.jobs.settings import LOGS, resolve_target
from tvmopt.jobs.sizes import each_size
from tvmopt.pipeline.errors import CancelledError, UsageError
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.importers.precision import in_precision
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.support.interrupts import ctrl_c_cancels
from tvmopt.pipeline.support.progress import Listener, Steps
from tvmopt.pipeline.tuning.rerank import time_finalists
from tvmopt.pipeline.tuning.search import INTERRUPTED, TuneOptions, TuneSummary
from tvmopt.pipeline.tuning.tune_model import NOTHING_TUNED, check_measurable, tunable_tasks, tune_tasks
from tvmopt.pipeline.types import Precision

if TYPE_CHECKING:
    import numpy as np

    from tvmopt.pipeline.types import ImportedModel


@dataclass(frozen=True, slots=True)
class TuneJob:
    """What to tune.

    Attributes:
        model: ``file.onnx``, ``file.pt2`` or ``path/file.py:factory``.
        target: a target's name, or TVM's target as JSON; must be this machine.
        threads: threads that each kernel runs on; the target's cores when None.
        logs: the folder that records are added to; created when missing.
        input_shapes: shapes of the model's inputs by name, where it leaves them open; with sets of sizes, the kernels
            of all sizes are tuned together, each size as important as the next.
        batch: first dimension of every input; the model's own when None.
        tasks: a shell pattern that the name of a task, or of one of its layers, must match.
        search: options of the search.
        inputs: an array for each input that the model runs on; it settles open shapes too. Random ones when None.
        input_values: values of inputs that become constants.
        strict_nan: whether a NaN or infinity may touch only what the model says (`schedules.target.Target`).
        precision: of a quantised model (`pipeline.importers.precision`).
    """

    model: str
    target: str = "llvm"
    threads: int | None = None
    logs: Path = LOGS
    input_shapes: Mapping[str, tuple[int | tuple[int, ...], ...]] = field(default_factory=dict)
    batch: int | None = None
    tasks: str = "*"
    search: TuneOptions = field(default_factory=TuneOptions)
    inputs: Mapping[str, np.ndarray] | None = None
    input_values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    strict_nan: bool = False
    precision: Precision = "auto"


@dataclass(frozen=True, slots=True)
class TuneResult:
    """The result of tuning a model.

    Attributes:
        summary: the search's cost and gain.
        log: the file of the records.
        finalists: number of configs timed inside the model; None when the job was stopped before that.
        finals_s: the time that took, in seconds.
        sizes: in how many sizes of its inputs the model was tuned.
    """

    summary: TuneSummary
    log: Path
    finalists: int | None = None
    finals_s: float = 0.0
    sizes: int = 1


def tune(job: TuneJob, listener: Listener | None = None) -> TuneResult:
    """Searches for the fastest kernels of a model on this machine, and records every trial.

    Trials go to the tasks that can save most time. At the end the fastest configs of each task are timed once more,
    inside the model; with ``trials=0`` nothing else is done. Running the same job again resumes from the records.

    Args:
        job: what to tune.
        listener: receives each step and trial; may request a stop.

    Returns:
        The state of each task, the log of the records, the number of finalists timed, and the seconds that took.

    Raises:
        CancelledError: the job was stopped; `partial` is a TuneResult if the search had begun.
        UsageError: there is no such target, no task matches the pattern, or sets of sizes do not go together.
        RuntimeMissingError: this machine cannot run the target's code.
        InputFileError: the model or a record cannot be read, or a record cannot be written.
        UnsupportedModelError, WrongResultError: the model cannot be imported.
        BuildError: no worker process starts, or the model with its finalists cannot be built.
    """
    sizes = each_size(job.input_shapes, job.inputs)
    target = resolve_target(job.target, job.threads, job.strict_nan)
    if job.logs.exists() and not job.logs.is_dir():
        raise UsageError(f"tuning records need a folder, but {str(job.logs)!r} is a file")
    check_measurable(target, job.search.device)  # fails now rather than after the import
    with ctrl_c_cancels(), Steps(listener) as steps:
        steps.begin("importing")
        models = [_imported(job, one) for one in sizes]
        store = RecordStore(job.logs, models[0].name)
        log = store.log(target.key)
        tasks = tunable_tasks(models, target, job.tasks)
        if not tasks:
            return TuneResult(NOTHING_TUNED, log, sizes=len(sizes))
        steps.begin("tuning")
        summary = tune_tasks(tasks, target, store, job.search, steps.listener)
    found = TuneResult(summary, log, sizes=len(sizes))
    if summary.stopped == INTERRUPTED:
        raise CancelledError(partial=found)
    began = time.monotonic()
    try:
        with ctrl_c_cancels():
            count = time_finalists(models, target, store, job.search.finalists, listener, job.search.device)
    except CancelledError:
        raise CancelledError(partial=found) from None
    return replace(found, finalists=count, finals_s=time.monotonic() - began)


def _imported(job: TuneJob, shapes: Mapping[str, tuple[int, ...]]) -> ImportedModel:
    """The model in one size, in the precision that is wanted."""
    model = load_model(job.model, shapes, job.batch, job.inputs, job.input_values)
    return in_precision(model, job.precision, job.inputs)
