"""Observes a compiled model kernel by kernel: how long each takes, and its outputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.artifact.loaded import LoadedArtifact
from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.types import Step

Array = npt.NDArray[Any]

Visit = Callable[[Step, Mapping[str, Array]], None]
"""Takes a step that has run, and its outputs by name, as the model has them (NCHW, no halo)."""


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of observed runs.

    Attributes:
        steps: for each step, in order, its time in each run.
        whole: the time of each run from beginning to end; time that is not in a step is between steps.
    """

    steps: tuple[tuple[float, ...], ...]
    whole: tuple[float, ...]


def time_steps(artifact: LoadedArtifact, runs: int, on_processor: bool = False) -> StepTimes:
    """Runs a model on the inputs that are set, and times every kernel call.

    Args:
        artifact: with its inputs set.
        runs: how often.
        on_processor: whether times are the calling thread's processor time, in which other programs' time is not: for
            a model on one thread, on a machine that is not quiet.

    Raises:
        InputFileError: when the library runs other kernels than the manifest lists.
    """
    check_order(artifact)
    times = np.zeros((len(artifact.steps), runs))
    whole = np.zeros(runs)
    executor = artifact.executor
    clock = time.thread_time_ns if on_processor else time.perf_counter_ns
    kernels = executor.time_kernels_on_processor if on_processor else executor.time_kernels
    for run in range(runs):
        start = clock()
        marks = kernels()
        whole[run] = (clock() - start) / 1e9
        times[:, run] = [(end - begin) / 1e9 for begin, end in marks]
    return StepTimes(tuple(tuple(map(float, row)) for row in times), tuple(map(float, whole)))


def visit_steps(artifact: LoadedArtifact, visit: Visit) -> None:
    """Runs a model once on the inputs that are set, and passes each kernel's outputs to `visit`.

    Args:
        artifact: with its inputs set.
        visit: called after each kernel.

    Raises:
        InputFileError: when the library runs other kernels than the manifest lists, or they have other outputs.
    """
    check_order(artifact)

    def each(step: Step, made: list[Array]) -> None:
        outputs = zip(step.outputs, made, strict=True)
        visit(step, {name: tensor.restore(memory) for (name, tensor), memory in outputs})

    artifact.executor.visit_kernels(artifact.steps, each)


def check_order(artifact: LoadedArtifact) -> None:
    """Checks that a model runs the kernels that its manifest lists.

    Raises:
        InputFileError: when it runs others.
    """
    if artifact.executor.kernels() != [step.kernel for step in artifact.steps]:
        raise InputFileError("the artifact's library runs other kernels than its manifest lists; compile it again")
