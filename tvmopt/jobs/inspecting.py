"""Inspecting a model that is not run: what its layers cost, and how they would be compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tvmopt.jobs.settings import resolve_target
from tvmopt.pipeline.inspection.inspect import Inspection, inspect_model
from tvmopt.pipeline.support.interrupts import ctrl_c_cancels
from tvmopt.pipeline.support.progress import Listener, Steps


@dataclass(frozen=True, slots=True)
class InspectJob:
    """What is inspected.

    Attributes:
        model: ``file.onnx``, ``file.pt2`` or ``path/file.py:factory``.
        target: a target's name, or TVM's target as JSON; need not be this machine.
        threads: threads a kernel would be divided among; the target's cores when None.
        input_shapes: shapes of the model's inputs by name, where it leaves them open.
    """

    model: str
    target: str = "llvm"
    threads: int | None = None
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def inspect(job: InspectJob, listener: Listener | None = None) -> Inspection:
    """Looks at a model without running it; what is unsupported is in the result, not refused.

    Args:
        job: what is inspected.
        listener: is told when the job begins and ends.

    Returns:
        Costs of each layer, memory in bytes, tasks, and all that is not covered.

    Raises:
        CancelledError: the job was stopped.
        UsageError: there is no such target or model.
        InputFileError: the model cannot be read.
        UnsupportedModelError: there is no ONNX model with static inputs to look at.
    """
    target = resolve_target(job.target, job.threads)
    with ctrl_c_cancels(), Steps(listener, 1) as steps:
        steps.begin("inspecting")
        return inspect_model(job.model, target, job.input_shapes)
