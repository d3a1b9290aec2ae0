"""The ordered list of passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.graph.ir import Graph
from tvmopt.pipeline.graph.passes.fold_batchnorm import fold_batchnorm
from tvmopt.pipeline.graph.passes.fold_pad import fold_pad
from tvmopt.pipeline.graph.passes.fuse_epilogue import fuse_epilogue
from tvmopt.pipeline.graph.passes.fuse_separable import Joins, fuse_separable, join_none
from tvmopt.pipeline.graph.passes.merge_groups import merge_groups
from tvmopt.pipeline.graph.passes.merge_reshapes import merge_reshapes
from tvmopt.pipeline.graph.passes.plan_layout import plan_layout
from tvmopt.pipeline.graph.read_onnx import read_onnx
from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.pipeline.importers.onnx_form.operators import GRAPH_OPERATORS
from tvmopt.pipeline.types import ImportedModel
from tvmopt.schedules.registry import has_templates
from tvmopt.schedules.target import Target


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


def passes(target: Target, joins: Joins = join_none) -> tuple[Callable[[Graph], Graph], ...]:
    """What is done to a graph, in order.

    A target without templates takes the operators as TVM imports them, with folded weights.
    """
    if not has_templates(target):
        return (_refuse_own_operators, fold_batchnorm)
    return (
        fold_batchnorm,
        recognize,
        merge_reshapes,
        fold_pad,
        fuse_epilogue,
        lambda graph: fuse_separable(graph, target, joins),
        lambda graph: merge_groups(graph, target),
        lambda graph: plan_layout(graph, target),
    )


def _refuse_own_operators(graph: Graph) -> Graph:
    """`graph`, if TVM's importer has a converter for each of its operators.

    Raises:
        UnsupportedModelError: for an operator that only our templates for CPUs take; names the layer.
    """
    for node in graph.nodes:
        if node.kind in GRAPH_OPERATORS:
            raise UnsupportedModelError(f"layer {node.layers[0]!r} ({node.kind}): taken for CPUs only, not for a GPU")
    return graph


def optimize(model: ImportedModel, target: Target, joins: Joins = join_none) -> OptimizedModel:
    """Runs all passes on `model`.

    Args:
        model: imported.
        target: what layouts are planned for.
        joins: which depthwise convolutions become one kernel with what follows (`pipeline.tasks.alternatives` finds
            them).

    Raises:
        UnsupportedModelError: when a value has no static shape, or a layer cannot be taken for this target.
    """
    graph = read_onnx(model.normalized)
    for run in passes(target, joins):
        graph = run(graph)
    return OptimizedModel(model, target, graph)
