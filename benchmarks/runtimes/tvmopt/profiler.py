"""tvmopt: the artifact's own runtime records the beginning and end of each kernel call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tvmopt.benchmarks.measurements.layer_profile import KernelTime, LayerProfile
from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.benchmarks.runtimes.profiles.turns import Pace, take_turns, typical_seconds
from tvmopt.benchmarks.runtimes.tvmopt.untuned import RunTvmoptUntuned
from tvmopt.pipeline.artifact.kernel_by_kernel import check_order

if TYPE_CHECKING:
    from tvmopt.pipeline.types import Step


def profile_tvmopt(job: Job, seconds: float) -> LayerProfile:
    """Profiles the artifact in the job's folder.

    Raises:
        InputFileError: when its library runs different kernels from those in its manifest.
    """
    runner = RunTvmoptUntuned()
    runner.open_library()
    runner.load(job)
    artifact = runner.artifact
    check_order(artifact)
    steps = artifact.steps
    runs: list[list[tuple[int, int]]] = []
    turns = take_turns(runner.run, lambda: runs.append(artifact.executor.time_kernels()), Pace(seconds))
    times = typical_seconds(np.array([[end - begin for begin, end in runs[number]] for number in turns.counted]) / 1e9)
    choices = {str(task["task"]): task for task in artifact.manifest["tasks"]}
    kernels = [
        KernelTime(step.kernel, *_describe(step, choices.get(step.task)), layers, float(kernel_s))
        for step, layers, kernel_s in zip(steps, layers_of(steps, artifact.manifest), times, strict=True)
    ]
    return LayerProfile.measured(kernels, turns.profiled_s, turns.whole_s)


def layers_of(steps: Sequence[Step], manifest: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The layers that each step computes; a step that only changes an input's layout belongs to the step after it."""
    inputs = {str(spec["name"]) for spec in manifest["inputs"]}
    layers: list[tuple[str, ...]] = []
    behind: tuple[str, ...] = ()
    for step in reversed(steps):
        behind = tuple(layer for layer in step.layers if layer not in inputs) or behind
        layers.append(behind)
    return layers[::-1]


def _describe(step: Step, task: Mapping[str, Any] | None) -> tuple[str, str]:
    """A kernel's algorithm, and its config with its origin: a record, a transfer or the template's default."""
    if task is None:
        return step.operator, "no template"
    config = " ".join(f"{knob} {value}" for knob, value in task["knobs"].items())
    name = step.operator if task["algorithm"] == step.operator else f"{step.operator} {task['algorithm']}"
    return name, f"{task['origin']}: {config}" if config else str(task["origin"])
