"""Inspecting a model without running it: the costs of its layers, and how they would be compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tvmopt.jobs.settings import resolve_target
from tvmopt.pipeline.inspection.inspect import Inspection, inspect_model
from tvmopt.pipeline.support.interrupts import ctrl_c_cancels
from tvmopt.pipeline.support.progress import Listener, Steps

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class InspectJob:
    """What to inspect.

    Attributes:
        model: ``file.onnx``, ``file.pt2`` or ``path/file.py:factory``.
        target: a target's name, or TVM's target as JSON; it may be another machine.
        threads: threads that each kernel would run on; the target's cores when None.
        input_shapes: shapes of the model's inputs by name, where it leaves them open.
        inputs: an array for each input that the model runs on; here it only settles open shapes.
        input_values: values of inputs that become constants.
        strict_nan: whether a NaN or infinity may touch only what the model says (`schedules.target.Target`).
    """

    model: str
    target: str = "llvm"
    threads: int | None = None
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    inputs: Mapping[str, np.ndarray] | None = None
    input_values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    strict_nan: bool = False


def inspect(job: InspectJob, listener: Listener | None = None) -> Inspection:
    """Inspects a model without running it; reports unsupported parts in the result instead of raising.

    Args:
        job: what to inspect.
        listener: receives the beginning and end of the job.

    Returns:
        Costs of each layer, memory in bytes, tasks, and everything that is not covered.

    Raises:
        CancelledError: the job was stopped.
        UsageError: there is no such target or model.
        InputFileError: the model cannot be read.
        UnsupportedModelError: the model has no ONNX form with static inputs.
    """
    target = resolve_target(job.target, job.threads, job.strict_nan)
    with ctrl_c_cancels(), Steps(listener, 1) as steps:
        steps.begin("inspecting")
        return inspect_model(job.model, target, job.input_shapes, job.inputs, job.input_values)
