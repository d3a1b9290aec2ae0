"""Preparation for measuring or profiling: reads the tuning records, prepares each runtime in a worker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tvmopt.benchmarks.runtimes.base import Job, Runtime
from tvmopt.benchmarks.workers.prepared_model import Prepared, PreparedModel
from tvmopt.benchmarks.workers.supervisor import WorkerError, WorkerHandle


def check_records(runtimes: Iterable[Runtime], logs: Iterable[Path]) -> None:
    """Reads the records if a runtime uses them, so that a corrupt one fails before the run begins.

    Raises:
        InputFileError: when a record cannot be read.
    """
    if any(runtime.uses_records for runtime in runtimes):
        from tvmopt.pipeline.records.store import RecordStore

        for folder in logs:
            RecordStore(folder).records()


def prepare_runtime(
    subject: PreparedModel, runtime: Runtime, cores: Sequence[int], logs: Sequence[Path], timeout_s: float
) -> Prepared:
    """Runs the runtime's ahead-of-time step, unless it has none or has already run it for `subject`.

    Args:
        subject: the model; keeps the result.
        runtime: the runtime.
        cores: the cores that the worker is pinned to; their count is the number of threads.
        logs: folders of tuning records.
        timeout_s: time limit of the step, in seconds.
    """
    if runtime.prepared == "never":
        return Prepared()
    job = subject.job(runtime, len(cores), logs)
    done = subject.prepared.get(job.folder)
    if done is None:
        done = subject.prepared[job.folder] = prepare_job(runtime.name, job, cores, timeout_s)
    return done


def prepare_job(runtime: str, job: Job, cores: Sequence[int], timeout_s: float) -> Prepared:
    """Runs the ahead-of-time step of the runtime called `runtime` for `job`, in its own process."""
    try:
        with WorkerHandle(runtime, cores) as worker:
            reply = worker.ask({"do": "prepare", "job": job.to_json()}, timeout_s)
    except WorkerError as error:
        return Prepared(failure=str(error))
    return Prepared(reply["prepare_s"], reply["missing"])
