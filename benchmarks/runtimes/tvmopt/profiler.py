"""tvmopt: the artifact's own runtime records the beginning and end of each kernel call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tvmopt.benchmarks.measurements.layer_profile import KernelTime, LayerProfile
from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.benchmarks.runtimes.profiles.layer_cover import LayerGraph, cover_layers, read_layers
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
    return _profile(job, seconds, None)


def profile_tvmopt_int8(job: Job, seconds: float) -> LayerProfile:
    """As `profile_tvmopt`, of a quantised network: layers are those of the job's model, which it had before."""
    return _profile(job, seconds, read_layers(job.onnx))


def _profile(job: Job, seconds: float, source: LayerGraph | None) -> LayerProfile:
    """The profile of the artifact, with the layers of `source` where the artifact has others, too."""
    runner = RunTvmoptUntuned()
    runner.open_library()
    runner.load(job)
    artifact = runner.artifact
    check_order(artifact)
    steps = artifact.steps
    runs: list[list[tuple[int, int]]] = []
    turns = take_turns(runner.run, lambda: runs.append(artifact.executor.time_kernels()), Pace(seconds))
    times = typical_seconds(np.array([[end - begin for begin, end in runs[number]] for number in turns.counted]) / 1e9)
    layers = layers_of(steps, artifact.manifest)
    if source is not None:
        known = [set(source.operators).intersection(names) for names in layers]
        layers = _or_those_behind(cover_layers(source, known))
    choices = {str(task["task"]): task for task in artifact.manifest["tasks"]}
    kernels = [
        KernelTime(step.kernel, *_describe(step, choices.get(step.task)), names, float(kernel_s))
        for step, names, kernel_s in zip(steps, layers, times, strict=True)
    ]
    return LayerProfile.measured(kernels, turns.profiled_s, turns.whole_s)


def layers_of(steps: Sequence[Step], manifest: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The layers that each step computes; a step that only changes an input's layout belongs to the step after it."""
    inputs = {str(spec["name"]) for spec in manifest["inputs"]}
    return _or_those_behind([tuple(layer for layer in step.layers if layer not in inputs) for step in steps])


def _or_those_behind(layers: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The layers of each step; those of the next step where it has none."""
    found: list[tuple[str, ...]] = []
    behind: tuple[str, ...] = ()
    for own in reversed(layers):
        behind = own or behind
        found.append(behind)
    return found[::-1]


def _describe(step: Step, task: Mapping[str, Any] | None) -> tuple[str, str]:
    """A kernel's algorithm, and its config with its origin: a record, a transfer or the template's default."""
    if task is None:
        return step.operator, "no template"
    config = " ".join(f"{knob} {value}" for knob, value in task["knobs"].items())
    name = step.operator if task["algorithm"] == step.operator else f"{step.operator} {task['algorithm']}"
    return name, f"{task['origin']}: {config}" if config else str(task["origin"])
