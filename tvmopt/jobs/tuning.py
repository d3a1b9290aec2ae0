"""Tuning a model: the search over its kernels, then the finalists inside the model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tvmopt.jobs.settings import LOGS, resolve_target
from tvmopt.pipeline.errors import CancelledError, UsageError
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.support.interrupts import ctrl_c_cancels
from tvmopt.pipeline.support.progress import Listener, Steps
from tvmopt.pipeline.tuning.rerank import time_finalists
from tvmopt.pipeline.tuning.search import INTERRUPTED, TuneOptions, TuneSummary
from tvmopt.pipeline.tuning.tune_model import check_measurable, tunable_tasks, tune_tasks


@dataclass(frozen=True, slots=True)
class TuneJob:
    """What is tuned.

    Attributes:
        model: ``file.onnx``, ``file.pt2`` or ``path/file.py:factory``.
        target: a target's name, or TVM's target as JSON; must be this machine.
        threads: threads a kernel is divided among; the target's cores when None.
        logs: the folder that records are added to; made when missing.
        input_shapes: shapes of the model's inputs by name, where it leaves them open.
        batch: first dimension of every input; as the model has it when None.
        tasks: a shell pattern that the name of a task, or of one of its layers, must match.
        search: how to search.
    """

    model: str
    target: str = "llvm"
    threads: int | None = None
    logs: Path = LOGS
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    batch: int | None = None
    tasks: str = "*"
    search: TuneOptions = field(default_factory=TuneOptions)


@dataclass(frozen=True, slots=True)
class TuneResult:
    """What tuning a model gave.

    Attributes:
        summary: what the search cost and won.
        log: the file that the records are in.
        finalists: how many configs were timed inside the model; None when the job was stopped before that was done.
        finals_s: how long that took, in seconds.
    """

    summary: TuneSummary
    log: Path
    finalists: int | None = None
    finals_s: float = 0.0


def tune(job: TuneJob, listener: Listener | None = None) -> TuneResult:
    """Searches for the fastest kernels of a model on this machine, and records every trial.

    Trials go where time is. At the end the fastest configs of each task are timed once more, inside the model; with
    ``trials=0`` that is all. The same job again goes on from the records.

    Args:
        job: what is tuned.
        listener: is told of each step and trial; may ask for a stop.

    Returns:
        Where each task stands, the log that has the records, and how many finalists were timed in how many seconds.

    Raises:
        CancelledError: the job was stopped; `partial` is a TuneResult once the search had begun.
        UsageError: there is no such target, or nothing to tune.
        RuntimeMissingError: this machine cannot run the target's code.
        InputFileError: the model or a record cannot be read, or a record not be written.
        UnsupportedModelError, WrongResultError: the model cannot be imported.
        BuildError: no worker process comes up, or the model with its finalists cannot be built.
    """
    target = resolve_target(job.target, job.threads)
    if job.logs.exists() and not job.logs.is_dir():
        raise UsageError(f"tuning records go to a folder, and {str(job.logs)!r} is a file")
    check_measurable(target, job.search.device)  # fails now rather than after the import
    with ctrl_c_cancels(), Steps(listener) as steps:
        steps.begin("importing")
        model = load_model(job.model, job.input_shapes, job.batch)
        store = RecordStore(job.logs, model.name)
        tasks = tunable_tasks(model, target, job.tasks)
        steps.begin("tuning")
        summary = tune_tasks(tasks, target, store, job.search, steps.listener)
    found = TuneResult(summary, job.logs / target.key / f"{model.name}.jsonl")
    if summary.stopped == INTERRUPTED:
        raise CancelledError(partial=found)
    began = time.monotonic()
    try:
        with ctrl_c_cancels():
            count = time_finalists(model, target, store, job.search.finalists, listener, job.search.device)
    except CancelledError:
        raise CancelledError(partial=found) from None
    return TuneResult(summary, found.log, count, time.monotonic() - began)
