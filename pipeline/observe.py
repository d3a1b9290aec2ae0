"""A compiled model observed kernel by kernel: how long each takes, and what it makes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.artifact import LoadedArtifact
from pipeline.errors import InputFileError
from pipeline.types import Step

Array = npt.NDArray[Any]

Visit = Callable[[Step, Mapping[str, Array]], None]
"""Takes a step that has run, and its outputs by name, as the model has them (NCHW, no halo)."""


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of observed runs.

    Attributes:
        steps: for each step, in order, its time in each run.
        whole: the time of each run from beginning to end; what the steps do not account for lies between them.
    """

    steps: tuple[tuple[float, ...], ...]
    whole: tuple[float, ...]


def time_steps(artifact: LoadedArtifact, runs: int) -> StepTimes:
    """Runs a model on the inputs that are set and takes the time of every kernel call.

    Args:
        artifact: with its inputs set.
        runs: how often.

    Raises:
        InputFileError: when the library runs other kernels than the manifest lists.
    """
    kernels = [step.kernel for step in artifact.steps]
    known = frozenset(kernels)
    times = np.zeros((len(kernels), runs))
    whole = np.zeros(runs)
    for run in range(runs):
        marks: list[int] = []
        names: list[str] = []

        def observer(
            name: str, before: bool, arguments: Sequence[Any], marks: list[int] = marks, names: list[str] = names
        ) -> None:
            if name in known:
                marks.append(time.perf_counter_ns())
                if before:
                    names.append(name)

        start = time.perf_counter_ns()
        artifact.observe(observer)
        whole[run] = (time.perf_counter_ns() - start) / 1e9
        _check_order(names, kernels)
        times[:, run] = np.diff(np.array(marks).reshape(-1, 2))[:, 0] / 1e9
    return StepTimes(tuple(tuple(map(float, row)) for row in times), tuple(map(float, whole)))


def visit_steps(artifact: LoadedArtifact, visit: Visit) -> None:
    """Runs a model once on the inputs that are set and hands on what each kernel made.

    Raises:
        InputFileError: when the library runs other kernels than the manifest lists.
    """
    kernels = [step.kernel for step in artifact.steps]
    known = frozenset(kernels)
    names: list[str] = []

    def observer(name: str, before: bool, arguments: Sequence[Any]) -> None:
        if name not in known or before:
            return
        names.append(name)
        _check_order(names, kernels[: len(names)])
        step = artifact.steps[len(names) - 1]
        made = arguments[len(arguments) - len(step.outputs) :]
        outputs = zip(step.outputs, made, strict=True)
        visit(step, {value: tensor.restore(artifact.download(memory)) for (value, tensor), memory in outputs})

    artifact.observe(observer)
    _check_order(names, kernels)


def _check_order(names: Sequence[str], kernels: Sequence[str]) -> None:
    if list(names) != list(kernels):
        raise InputFileError("the artifact's library runs other kernels than its manifest lists; compile it again")
