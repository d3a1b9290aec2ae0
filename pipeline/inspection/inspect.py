"""Inspects a model before it is run: costs, memory, coverage, tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tvmopt.pipeline.errors import BuildError, UnsupportedModelError
from tvmopt.pipeline.graph.optimize import optimize
from tvmopt.pipeline.importers import survey_model
from tvmopt.pipeline.importers.load import surveyed_model
from tvmopt.pipeline.importers.source import model_name
from tvmopt.pipeline.importers.survey import Survey
from tvmopt.pipeline.inspection.costs import ModelCosts, model_costs
from tvmopt.pipeline.inspection.coverage import Coverage, Gap, cover
from tvmopt.pipeline.inspection.footprint import Footprint, footprint, planned_arena
from tvmopt.pipeline.tasks.bind import BoundModel, bind
from tvmopt.pipeline.tasks.extract import extract_tasks
from tvmopt.pipeline.tasks.precision import in_integers
from tvmopt.pipeline.types import ModelSource, Task
from tvmopt.schedules.registry import has_templates, kernel_for
from tvmopt.schedules.target import Target

if TYPE_CHECKING:
    import numpy as np

SCHEMA = "tvmopt-inspection"
VERSION = 1
"""Version of `Inspection.to_json`. 1: the first."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result of inspecting a model without running it.

    Attributes:
        name: the model's short name.
        target: what it would be compiled for.
        costs: costs of each layer and of all together.
        memory: memory that it needs at least, at most and as planned.
        coverage: how each layer is compiled, and what is not covered.
        tasks: distinct kernels with their weights; none where the model cannot be compiled, or for a GPU.
    """

    name: str
    target: Target
    costs: ModelCosts
    memory: Footprint
    coverage: Coverage
    tasks: tuple[Task, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object: counts are in operations and bytes, tensors as name, shape and dtype."""
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "model": self.name,
            "target": self.target.key,
            "total": self.costs.total.to_json(),
            "layers": [
                {**layer.to_json(), "kernel": self.coverage.kernels[layer.layer]} for layer in self.costs.layers
            ],
            "uncounted": dict(self.costs.uncounted),
            "memory": {
                "largest_layer": self.memory.largest_layer,
                "largest_layer_bytes": self.memory.largest_layer_bytes,
                "activations_bytes": self.memory.activations_bytes,
                "weights_bytes": self.memory.weights_bytes,
                "arena_bytes": self.memory.arena_bytes,
            },
            "gaps": [
                {
                    "stage": gap.stage,
                    "what": gap.what,
                    "layers": list(gap.layers),
                    "blocks": gap.blocks,
                    "remedy": gap.remedy,
                }
                for gap in self.coverage.gaps
            ],
            "tasks": [
                {
                    "task": task.name,
                    "weight": task.weight,
                    "flops": 0 if in_integers(task) else task_flops(task, self.target),
                    "integer_ops": task_flops(task, self.target) if in_integers(task) else 0,
                    "layers": task.layers,
                }
                for task in self.tasks
            ],
        }


def task_flops(task: Task, target: Target) -> int:
    """Operations of one run of a task's kernel, on integers where it is `in_integers`, a multiply-add as two."""
    return kernel_for(task.workload, target).flops


def inspect_model(
    spec: str,
    target: Target,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
    input_values: Mapping[str, tuple[float, ...]] | None = None,
) -> Inspection:
    """Inspects a model without running it; reports unsupported parts instead of refusing them.

    Args:
        spec: the model that the user named, as `pipeline.importers.load_model` takes it.
        target: what it would be compiled for; need not be this machine.
        input_shapes: shapes of inputs that the model leaves open.
        inputs: an array for each input, which settles open shapes too.
        input_values: values of inputs that become constants.

    Raises:
        UsageError, InputFileError: there is no such model.
        UnsupportedModelError: there is no ONNX model with static inputs to inspect.
    """
    source, survey = survey_model(spec, input_shapes, inputs, input_values)
    optimized, faults = _optimized(source, survey, target)
    coverage = cover(survey, optimized, target)
    coverage = replace(coverage, gaps=(*faults, *coverage.gaps))
    arena = None
    if optimized is not None and coverage.compiles:
        try:
            arena = planned_arena(optimized)
        except BuildError as error:
            gap = Gap("templates", str(error), (), True, "compile for another target, and report this as a bug")
            coverage = replace(coverage, gaps=(gap, *coverage.gaps))
    costs = model_costs(survey.original, survey.simplified)
    tasks = () if optimized is None or not has_templates(target) else extract_tasks(optimized)
    return Inspection(model_name(source), target, costs, footprint(costs, arena), coverage, tasks)


def _optimized(source: ModelSource, survey: Survey, target: Target) -> tuple[BoundModel | None, tuple[Gap, ...]]:
    """The graph as it would be compiled, if the model has a normal form; else None, and why it has none."""
    if not survey.static:
        return None, ()
    try:
        return bind(optimize(surveyed_model(source, survey), target)), ()
    except UnsupportedModelError as error:
        if survey.operators:
            return None, ()  # most likely because of one of these, and all are listed
        gap = Gap("importer", str(error), (), True, "export the model without control flow: a trace has none")
        return None, (gap,)
