"""Profiling a model in several runtimes, or an existing artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvmopt.benchmarks.profiling.profile_artifact import profile_artifact
from tvmopt.benchmarks.profiling.profile_model import RUNTIMES, ProfileOptions, profile_model
from tvmopt.benchmarks.profiling.program.profile_program import ProgramOptions, profile_program
from tvmopt.benchmarks.runtimes.registry import select_runtimes
from tvmopt.jobs.settings import LOGS, log_folders
from tvmopt.pipeline.errors import NoModelError, UsageError
from tvmopt.pipeline.importers import parse_source
from tvmopt.pipeline.support.interrupts import ctrl_c_cancels
from tvmopt.pipeline.support.progress import Listener

if TYPE_CHECKING:
    import numpy as np

ARTIFACT = ".tar"
"""The ending of an artifact's name."""


@dataclass(frozen=True, slots=True)
class ProfileJob:
    """What to profile.

    Attributes:
        model: MODEL as on the command line; an artifact (.tar), which is profiled alone; or ``path/file.py:function``
            that returns no model but reads, prepares and infers, which is profiled as a program.
        runtimes: names of runtimes; `benchmarks.profiling.profile_model.RUNTIMES` when empty.
        threads: threads of each; when None, all cores, or the threads that an artifact was compiled for.
        logs: the user's tuning records, which need not exist; searched before the records shipped with tvmopt.
        input_shapes: shapes of the model's inputs by name, where it leaves them open.
        seconds: approximate profiling time of each runtime.
        inputs: an array for each input that the model runs on; it settles open shapes too. Random ones when None.
        input_values: values of inputs that become constants.
        stages: for a program, its own functions by name, each with the stage that it is.
    """

    model: str
    runtimes: tuple[str, ...] = ()
    threads: int | None = None
    logs: Path = LOGS
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    seconds: float = 3.0
    inputs: Mapping[str, np.ndarray] | None = None
    input_values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    stages: Mapping[str, str] = field(default_factory=dict)


def profile(job: ProfileJob, listener: Listener | None = None) -> dict[str, Any]:
    """Times a model layer by layer, each runtime in its own process; or a program stage by stage.

    Args:
        job: what to profile.
        listener: receives each step; may request a stop, which takes effect before the next step.

    Returns:
        The JSON document that `benchmarks.profiling.profile_model` describes; `LayerTable.from_json` reads its tables.
        For a program, the one that `benchmarks.profiling.program.profile_program` describes.

    Raises:
        CancelledError: the job was stopped.
        UsageError: a runtime is unknown, there are more threads than cores, or an option does not apply to an artifact
            or to a program.
        RuntimeMissingError: none of the runtimes is installed, or the artifact does not run here.
        TvmoptError: any error from importing the model, reading the records or running the artifact.
    """
    options = ProfileOptions(
        job.model,
        job.runtimes or RUNTIMES,
        job.threads or 0,
        job.input_shapes,
        log_folders(job.logs),
        job.seconds,
        job.inputs,
        job.input_values,
    )
    with ctrl_c_cancels():
        if job.stages:
            if job.model.endswith(ARTIFACT) or parse_source(job.model).factory is None:
                raise UsageError(f"--stage is for a program, path/file.py:function, not {job.model}")
            return _profile_program(job, listener)
        if not job.model.endswith(ARTIFACT):
            try:
                return profile_model(options, listener)
            except NoModelError:
                return _profile_program(job, listener)
        _refuse_what_is_for_models(job)
        return profile_artifact(options, listener)


def _profile_program(job: ProfileJob, listener: Listener | None) -> dict[str, Any]:
    given = {
        "--runtimes": job.runtimes,
        "--threads": job.threads,
        "--input-shape": job.input_shapes,
        "--input-value": job.input_values,
        "--inputs": job.inputs,
    }
    for option, value in given.items():
        if value:
            raise UsageError(f"{option} is for a model; {job.model} returns none, and is profiled as a program")
    return profile_program(ProgramOptions(job.model, job.seconds, job.stages), listener)


def _refuse_what_is_for_models(job: ProfileJob) -> None:
    named = select_runtimes(job.runtimes) if job.runtimes else ()
    others = [runtime.name for runtime in named if runtime.name != "tvmopt"]
    if others:
        raise UsageError(f"an artifact runs in tvmopt alone; profile its model to see {', '.join(others)} too")
    given = {"--input-shape": job.input_shapes, "--input-value": job.input_values, "--inputs": job.inputs}
    for option, value in given.items():
        if value:
            raise UsageError(f"an artifact's inputs are fixed; {option} is for a model, not {job.model}")
