"""Evaluating a model's accuracy on a labelled set, in every runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tvmopt.benchmarks.accuracy.evaluate import run_evaluation
from tvmopt.benchmarks.accuracy.options import EvaluateOptions
from tvmopt.benchmarks.machine.environment import usable_cores
from tvmopt.benchmarks.measurements.accuracy import Evaluation
from tvmopt.benchmarks.measurements.options import DataOptions
from tvmopt.jobs.settings import LOGS, log_folders
from tvmopt.pipeline.errors import CancelledError
from tvmopt.pipeline.support.interrupts import ctrl_c_cancels
from tvmopt.pipeline.support.progress import Listener


@dataclass(frozen=True, slots=True)
class EvaluateJob:
    """What to evaluate.

    Attributes:
        model: MODEL as on the command line, or an artifact (.tar).
        data: a labelled set (`pipeline.data.labelled.open_set.FORMS`).
        metric: ``top1``, ``top5``, ``map``, ``miou`` or ``path.py:function``; the one that suits the set when None.
        preprocess: a preset or ``path.py:function``; the preset that suits the model when None.
        samples: how many samples to take at random; all when None.
        seed: seed of that choice.
        runtimes: names of runtimes; all when empty. An artifact runs in tvmopt alone.
        threads: threads of each; all cores when None.
        batch: batch size; the model's own, or 1 where it leaves that open, when None.
        against: the model whose accuracy differences are to; the model itself in its original framework when None.
        logs: the user's tuning records, which need not exist; searched before the records shipped with tvmopt.
        results: the folder where judgements are kept for another run; the cache when None.
        fresh: whether to judge anew what earlier runs have judged.
        input_shapes: shapes of the model's inputs by name, where it leaves them open.
        input_values: values of inputs that become constants.
    """

    model: str
    data: Path
    metric: str | None = None
    preprocess: str | None = None
    samples: int | None = None
    seed: int = 0
    runtimes: tuple[str, ...] = ()
    threads: int | None = None
    batch: int | None = None
    against: str | None = None
    logs: Path = LOGS
    results: Path | None = None
    fresh: bool = False
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    input_values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def evaluate(job: EvaluateJob, listener: Listener | None = None) -> Evaluation:
    """Judges the outputs of every runtime on the same prepared samples.

    Args:
        job: what to evaluate.
        listener: receives each step; may request a stop, which takes effect before the next runtime's samples.

    Returns:
        The rows, each with its values, their intervals, and the difference to the reference.

    Raises:
        CancelledError: the job was stopped; `partial` has what was judged, if anything. Another run goes on from there.
        UsageError: a runtime, metric or preset is unknown, or an option does not apply.
        InputFileError: the set, the model, or a user's function cannot be used.
        ModelInputError: samples, labels and model do not go together.
        TvmoptError: any other error from importing the model or reading the records.
    """
    options = EvaluateOptions(
        job.model,
        DataOptions(job.data, job.metric, job.preprocess, job.samples, job.seed),
        runtimes=job.runtimes,
        threads=job.threads or len(usable_cores()),
        batch=job.batch,
        against=job.against,
        logs=log_folders(job.logs),
        results=job.results,
        fresh=job.fresh,
        input_shapes=job.input_shapes,
        input_values=job.input_values,
    )
    with ctrl_c_cancels():
        evaluation = run_evaluation(options, listener)
    if not evaluation.complete:
        raise CancelledError(partial=evaluation)
    return evaluation
