"""tvmopt: every kernel call of the artifact, timed between runs of the whole model.

TVM's instrumentation tells, once, which kernels a run calls and with what tensors. It is too slow to time them: it
converts every argument for every function, kernels or not, about a microsecond each time, and drives the weights of
a small network out of the cache. So the same calls are then made again, one after the other, in turn with whole runs;
a clock stands between them and nothing else. What a call from Python costs is measured in the same way, with a
function that does nothing and takes the same tensors, and taken off.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.layers import KernelTime, LayerProfile
from benchmarks.profilers.turns import Pace, take_turns, typical_seconds
from benchmarks.runners.base import Job
from benchmarks.runners.tvmopt_untuned import RunTvmoptUntuned
from pipeline.errors import InputFileError

if TYPE_CHECKING:
    from pipeline.artifact import LoadedArtifact
    from pipeline.types import Step

_EMPTY_RUNS = 100


def profile_tvmopt(job: Job, seconds: float) -> LayerProfile:
    """Profiles the artifact in the job's folder.

    Raises:
        InputFileError: when its library runs other kernels than its manifest lists.
    """
    runner = RunTvmoptUntuned()
    runner.open_library()
    runner.load(job)
    artifact = runner.artifact
    calls = _record_calls(artifact)
    marks: list[list[int]] = []
    turns = take_turns(runner.run, lambda: marks.append(_repeat(calls)), Pace(seconds))
    nothing = [(artifact.nothing(), arguments) for _, arguments in calls]
    empty = typical_seconds(_differences([_repeat(nothing) for _ in range(_EMPTY_RUNS)]))
    times = typical_seconds(_differences([marks[number] for number in turns.counted]))
    steps, kernel_seconds = artifact.steps, np.maximum(0.0, times - empty)
    choices = {str(task["task"]): task for task in artifact.manifest["tasks"]}
    kernels = [
        KernelTime(step.kernel, step.operator, _describe(choices.get(step.task)), layers, float(kernel_s))
        for step, layers, kernel_s in zip(steps, layers_of(steps, artifact.manifest), kernel_seconds, strict=True)
    ]
    return LayerProfile.measured(kernels, turns.profiled_s, turns.whole_s)


def layers_of(steps: Sequence[Step], manifest: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The layers that each step stands for; one that only lays out an input belongs to the step after it."""
    inputs = {str(spec["name"]) for spec in manifest["inputs"]}
    layers: list[tuple[str, ...]] = []
    behind: tuple[str, ...] = ()
    for step in reversed(steps):
        behind = tuple(layer for layer in step.layers if layer not in inputs) or behind
        layers.append(behind)
    return layers[::-1]


def _record_calls(artifact: LoadedArtifact) -> list[tuple[Any, Sequence[Any]]]:
    """Each step's function and the tensors it is called with."""
    recorded = artifact.record()
    if [name for name, _, _ in recorded] != [step.kernel for step in artifact.steps]:
        raise InputFileError("the artifact's library runs other kernels than its manifest lists; compile it again")
    return [(function, arguments) for _, function, arguments in recorded]


def _repeat(calls: Sequence[tuple[Any, Sequence[Any]]]) -> list[int]:
    """Makes the calls; the clock's nanoseconds before the first and after each."""
    marks = [time.perf_counter_ns()]
    for function, arguments in calls:
        function(*arguments)
        marks.append(time.perf_counter_ns())
    return marks


def _differences(marks: Sequence[Sequence[int]]) -> np.ndarray:
    """Seconds of each call (second axis) in each run (first axis)."""
    return np.asarray(np.diff(np.array(marks), axis=1) / 1e9)


def _describe(task: Mapping[str, Any] | None) -> str:
    """Which config a kernel has, and whether a record or the template's default chose it."""
    if task is None:
        return "no template"
    config = " ".join(f"{knob} {value}" for knob, value in task["config"].items())
    return f"{task['origin']}: {config}" if config else str(task["origin"])
