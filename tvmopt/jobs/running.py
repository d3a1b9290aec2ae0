"""Running an artifact on given inputs, or checking it on its golden inputs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tvmopt.pipeline.artifact.check_golden import GoldenOutput, golden_outputs
from tvmopt.pipeline.artifact.loaded import LoadedArtifact, load_artifact
from tvmopt.pipeline.compiler.build import threads_environment
from tvmopt.pipeline.errors import UsageError, WrongResultError
from tvmopt.pipeline.support.interrupts import ctrl_c_cancels
from tvmopt.pipeline.support.progress import Listener

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class RunJob:
    """What to run.

    Attributes:
        artifact: a file that `compile` wrote.
        inputs: an array for each input by its name; None for the golden inputs.
        check: whether to compare with the golden outputs.
        repeat: number of timed runs, after an untimed one; with golden inputs, 1 means no timing.
        threads: threads of the kernels; the number compiled for when None.
    """

    artifact: Path
    inputs: Mapping[str, np.ndarray] | None = None
    check: bool = False
    repeat: int = 1
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.inputs is None and not self.check:
            raise UsageError("nothing to run on: give inputs, or check for the golden ones")
        if self.repeat < 1:
            raise UsageError(f"repeat must be at least 1, got {self.repeat}")


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of running an artifact.

    Attributes:
        golden: each output for the golden inputs against the golden one, in every size; none if not checked.
        latency_s: seconds of each timed run.
        outputs: an array for each output by its name; None without inputs.
    """

    golden: tuple[GoldenOutput, ...]
    latency_s: tuple[float, ...]
    outputs: Mapping[str, np.ndarray] | None


def run(job: RunJob, listener: Listener | None = None) -> RunResult:
    """Checks and times an artifact, and returns its outputs. Sets the number of threads of this process's kernels.

    Args:
        job: what to run.
        listener: may request a stop, which takes effect after the current run.

    Returns:
        The errors of the golden outputs, seconds of each timed run, and the outputs.

    Raises:
        CancelledError: the job was stopped.
        InputFileError: the artifact cannot be read.
        RuntimeMissingError: it does not run on this machine.
        ModelInputError: names, shapes or dtypes of the inputs are not the model's.
        WrongResultError: an output differs from the golden one by more than `tolerances.COMPILED`.
    """
    told = listener or Listener()
    if job.threads is not None:
        threads_environment(job.threads)
    with ctrl_c_cancels():
        loaded = load_artifact(job.artifact)
        golden = check_golden(loaded) if job.check else ()
        if job.inputs is None and job.repeat == 1:
            return RunResult(golden, (), None)
        loaded.set_inputs(loaded.golden_inputs if job.inputs is None else job.inputs)
        latency_s = _time_runs(loaded, job.repeat, told)
        return RunResult(golden, latency_s, None if job.inputs is None else loaded.outputs())


def check_golden(loaded: LoadedArtifact) -> tuple[GoldenOutput, ...]:
    """Runs the golden inputs of every size, and compares every output with the golden one.

    Raises:
        WrongResultError: when one differs by more than `tolerances.COMPILED`.
    """
    found = tuple(golden_outputs(loaded))
    for output in found:
        if not output.right:
            raise WrongResultError(
                f"output {output.name!r} differs from its golden value: {output}; compile again, and report a bug if "
                "it persists"
            )
    return found


def _time_runs(loaded: LoadedArtifact, repeat: int, listener: Listener) -> tuple[float, ...]:
    """Seconds of each of `repeat` runs on the current inputs."""
    loaded.run_only()
    samples = []
    for _ in range(repeat):
        listener.check()
        began = time.perf_counter()
        loaded.run_only()
        samples.append(time.perf_counter() - began)
    return tuple(samples)
