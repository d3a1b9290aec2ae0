"""The ordered list of passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.graph.fold_batchnorm import fold_batchnorm
from pipeline.graph.fold_pad import fold_pad
from pipeline.graph.fuse_epilogue import fuse_epilogue
from pipeline.graph.ir import Graph
from pipeline.graph.merge_groups import merge_groups
from pipeline.graph.merge_reshapes import merge_reshapes
from pipeline.graph.plan_layout import plan_layout
from pipeline.graph.read_onnx import read_onnx
from pipeline.graph.recognize import recognize
from pipeline.types import ImportedModel
from schedules.target import Target


@dataclass(frozen=True, slots=True)
class OptimizedModel:
    """A model ready for code generation.

    Attributes:
        model: what was imported.
        target: for which layouts were planned.
        graph: nodes of operator families that templates take, or of ONNX, with planned layouts.
    """

    model: ImportedModel
    target: Target
    graph: Graph


def passes(target: Target) -> tuple[Callable[[Graph], Graph], ...]:
    """What is done to a graph, in order. A GPU takes the operators as TVM imports them, with folded weights."""
    if target.is_gpu:
        return (fold_batchnorm,)
    return (
        fold_batchnorm,
        recognize,
        merge_reshapes,
        fold_pad,
        fuse_epilogue,
        lambda graph: merge_groups(graph, target.lanes),
        lambda graph: plan_layout(graph, target.lanes),
    )


def optimize(model: ImportedModel, target: Target) -> OptimizedModel:
    """Runs all passes on `model`.

    Raises:
        UnsupportedModelError: when a value has no static shape.
    """
    graph = read_onnx(model.normalized)
    for run in passes(target):
        graph = run(graph)
    return OptimizedModel(model, target, graph)
