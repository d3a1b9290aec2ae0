"""Profiling a model in several runtimes, or an artifact as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tvmopt.benchmarks.profiling.profile_artifact import profile_artifact
from tvmopt.benchmarks.profiling.profile_model import RUNTIMES, ProfileOptions, profile_model
from tvmopt.benchmarks.runtimes.registry import select_runtimes
from tvmopt.jobs.settings import LOGS, log_folders
from tvmopt.pipeline.errors import UsageError
from tvmopt.pipeline.support.interrupts import ctrl_c_cancels
from tvmopt.pipeline.support.progress import Listener

ARTIFACT = ".tar"
"""What the name of an artifact ends with."""


@dataclass(frozen=True, slots=True)
class ProfileJob:
    """What is profiled.

    Attributes:
        model: ``file.onnx``, ``file.pt2``, ``path/file.py:factory``, or an artifact (.tar), which is profiled alone.
        runtimes: names of runtimes; `benchmarks.profiling.profile_model.RUNTIMES` when empty.
        threads: threads of each; all cores, or those an artifact was compiled for, when None.
        logs: the user's tuning records, which need not exist; those that come with tvmopt stand behind them.
        input_shapes: shapes of the model's inputs by name, where it leaves them open.
        seconds: about how long each runtime is profiled.
    """

    model: str
    runtimes: tuple[str, ...] = ()
    threads: int | None = None
    logs: Path = LOGS
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    seconds: float = 3.0


def profile(job: ProfileJob, listener: Listener | None = None) -> dict[str, Any]:
    """Times a model layer by layer, each runtime in a process of its own.

    Args:
        job: what is profiled.
        listener: is told of each step; may ask for a stop, which takes effect before the next step.

    Returns:
        The JSON document that `benchmarks.profiling.profile_model` describes; `LayerTable.from_json` reads its tables.

    Raises:
        CancelledError: the job was stopped.
        UsageError: a runtime is unknown, there are more threads than cores, or an option does not go with an artifact.
        RuntimeMissingError: none of the runtimes is there, or the artifact does not run here.
        TvmoptError: whatever importing the model, reading the records or running the artifact raises.
    """
    options = ProfileOptions(
        job.model, job.runtimes or RUNTIMES, job.threads or 0, job.input_shapes, log_folders(job.logs), job.seconds
    )
    with ctrl_c_cancels():
        if not job.model.endswith(ARTIFACT):
            return profile_model(options, listener)
        _refuse_what_is_for_models(job)
        return profile_artifact(options, listener)


def _refuse_what_is_for_models(job: ProfileJob) -> None:
    named = select_runtimes(job.runtimes) if job.runtimes else ()
    others = [runtime.name for runtime in named if runtime.name != "tvmopt"]
    if others:
        raise UsageError(f"an artifact runs in tvmopt alone; profile its model to see {', '.join(others)} too")
    if job.input_shapes:
        raise UsageError(f"an artifact's shapes are fixed; --input-shape is for a model, not {job.model}")
