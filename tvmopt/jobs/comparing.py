"""Comparing a model on every runtime, in one fair run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tvmopt.benchmarks.comparison.compare import run_comparison
from tvmopt.benchmarks.machine.environment import usable_cores
from tvmopt.benchmarks.measurements.files import from_document
from tvmopt.benchmarks.measurements.options import CompareOptions, DataOptions, MeasureOptions, Method, SearchOptions
from tvmopt.benchmarks.measurements.statistics import MIN_ROUNDS
from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.jobs.settings import LOGS, log_folders
from tvmopt.pipeline.data.labelled.open_set import FORMS, is_labelled
from tvmopt.pipeline.errors import CancelledError, UsageError
from tvmopt.pipeline.support.interrupts import ctrl_c_cancels
from tvmopt.pipeline.support.progress import Listener
from tvmopt.pipeline.types import Precision

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class CompareJob:
    """What to compare.

    Attributes:
        model: ``file.onnx``, ``file.pt2`` or ``path/file.py:factory``.
        runtimes: names of runtimes; all when empty.
        batches: batch sizes; when empty, the model's own, or 1 where it leaves its first dimension open.
        threads: thread counts; when empty, the number of cores that this process may use.
        streams: numbers of streams of the runtimes that can be set up with some (OpenVINO's throughput); when empty,
            their own choice.
        rounds: turns of each runtime, at least `benchmarks.measurements.statistics.MIN_ROUNDS`; with the method ``dli``
            at most one for each iteration.
        method: ``turns``: latency is the median of the calls that fit in turns of one length; ``dli``: of the same
            number of sequential requests to every runtime, the method of the Deep Learning Inference benchmark.
        iterations: that number; 1000 when None. Only with the method ``dli``.
        search: whether to find the best parameters of every runtime (threads, streams, modes, …) before its rounds.
        search_seconds: the time for measuring them, the same for each runtime; 20 when None. Only with `search`.
        tune_trials: tuning trials before each cell; none when 0.
        layers: whether to also profile every runtime layer by layer.
        data: folder of pictures for measuring and calibration, or a labelled set, on which accuracy is judged too; the
            sample photographs when None.
        metric, preprocess, samples: how a labelled set is used, as in `jobs.evaluating.EvaluateJob`.
        logs: the user's tuning records, which need not exist; searched before the records shipped with tvmopt.
        input_shapes: shapes of the model's inputs by name, where it leaves them open.
        inputs: an array for each input that the model runs on; it settles open shapes too. Random ones when None.
        input_values: values of inputs that become constants.
        precision: of a quantised model (`pipeline.importers.precision`), for every runtime.
    """

    model: str
    runtimes: tuple[str, ...] = ()
    batches: tuple[int, ...] = ()
    threads: tuple[int, ...] = ()
    streams: tuple[int, ...] = ()
    rounds: int = MeasureOptions().rounds
    method: Method = "turns"
    iterations: int | None = None
    search: bool = False
    search_seconds: float | None = None
    tune_trials: int = 0
    layers: bool = False
    data: Path | None = None
    metric: str | None = None
    preprocess: str | None = None
    samples: int | None = None
    logs: Path = LOGS
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    inputs: Mapping[str, np.ndarray] | None = None
    input_values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    precision: Precision = "auto"


def compare(job: CompareJob, listener: Listener | None = None) -> Comparison:
    """Measures a model on every runtime: same cores, same inputs, in turn.

    Args:
        job: what to compare.
        listener: receives each step, round and row; may request a stop, which takes effect after the current turn.

    Returns:
        The rows and verdicts; `benchmarks.measurements.files.to_document` gives the JSON document.

    Raises:
        CancelledError: the job was stopped; `partial` has the complete rounds and cells, if any.
        UsageError: a runtime is unknown, there are more threads than cores, too few rounds or iterations, iterations
            without the method ``dli``, or seconds of a search without one.
        TvmoptError: any error from importing the model or reading the records and pictures.
    """
    labelled = _labelled(job)
    options = CompareOptions(
        job.model,
        runtimes=job.runtimes,
        batches=job.batches,
        threads=job.threads or (len(usable_cores()),),
        streams=job.streams,
        input_shapes=job.input_shapes,
        inputs=job.inputs,
        input_values=job.input_values,
        precision=job.precision,
        logs=log_folders(job.logs),
        data=None if labelled else job.data,
        labelled=labelled,
        tune_trials=job.tune_trials,
        layers=job.layers,
        measure=_measuring(job),
        search=_searching(job),
    )
    with ctrl_c_cancels():
        comparison = from_document(run_comparison(options, listener))
    if not comparison.complete:
        raise CancelledError(partial=comparison)
    return comparison


def _labelled(job: CompareJob) -> DataOptions | None:
    """The labelled set that `data` names, if it is one.

    Raises:
        UsageError: it is none, and something is said that only such a set needs.
    """
    if job.data is not None and is_labelled(job.data):
        return DataOptions(job.data, job.metric, job.preprocess, job.samples)
    given = {"metric": job.metric, "preprocess": job.preprocess, "samples": job.samples}
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"--{name} is for a labelled set: give one with --data ({FORMS}), not {job.data}")
    return None


def _searching(job: CompareJob) -> SearchOptions | None:
    """How to search, if asked to."""
    if job.search:
        return SearchOptions() if job.search_seconds is None else SearchOptions(seconds=job.search_seconds)
    if job.search_seconds is not None:
        raise UsageError(f"--search-seconds is for --search, got {job.search_seconds:g} without it")
    return None


def _measuring(job: CompareJob) -> MeasureOptions:
    """How to measure, by the job's method."""
    if job.method != "dli":
        if job.iterations is not None:
            raise UsageError(f"iterations are for --method dli, got {job.iterations} with the method {job.method}")
        return MeasureOptions(method=job.method, rounds=job.rounds)
    iterations = MeasureOptions().iterations if job.iterations is None else job.iterations
    rounds = min(job.rounds, max(MIN_ROUNDS, iterations))
    return MeasureOptions(method=job.method, iterations=iterations, rounds=rounds)
