"""The ordered list of passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.graph.attention.fuse import fuse_attention
from tvmopt.pipeline.graph.guard_indices import guard_indices
from tvmopt.pipeline.graph.ir import Graph
from tvmopt.pipeline.graph.maps.choose_channels import choose_channels
from tvmopt.pipeline.graph.maps.compose_mixers import compose_mixers
from tvmopt.pipeline.graph.maps.fuse_expanded import fuse_expanded
from tvmopt.pipeline.graph.maps.merge_branches import merge_branches
from tvmopt.pipeline.graph.maps.pick_pixels import pick_pixels
from tvmopt.pipeline.graph.maps.resize_late import resize_late
from tvmopt.pipeline.graph.maps.stay_in_maps import stay_in_maps
from tvmopt.pipeline.graph.passes.delay_views import delay_views
from tvmopt.pipeline.graph.passes.find_copies import find_copies
from tvmopt.pipeline.graph.passes.find_group_norms import find_group_norms
from tvmopt.pipeline.graph.passes.find_norms import find_norms
from tvmopt.pipeline.graph.passes.fold_batchnorm import fold_batchnorm
from tvmopt.pipeline.graph.passes.fold_pad import fold_pad
from tvmopt.pipeline.graph.passes.fold_slice import fold_slice
from tvmopt.pipeline.graph.passes.fuse_epilogue import fuse_epilogue
from tvmopt.pipeline.graph.passes.fuse_separable import fuse_separable
from tvmopt.pipeline.graph.passes.keep_rows_divided import keep_rows_divided
from tvmopt.pipeline.graph.passes.merge_groups import merge_groups, split_groups
from tvmopt.pipeline.graph.passes.merge_reshapes import merge_reshapes
from tvmopt.pipeline.graph.passes.plan_layout import plan_layout
from tvmopt.pipeline.graph.passes.trim_taps import trim_taps
from tvmopt.pipeline.graph.passes.widen_phases import widen_phases
from tvmopt.pipeline.graph.pieces import Alternative, Choice, Piece, stay_apart
from tvmopt.pipeline.graph.quantized.fold_scales import fold_scales
from tvmopt.pipeline.graph.quantized.say_what_fits import say_what_fits
from tvmopt.pipeline.graph.quantized.use_integers import use_integers
from tvmopt.pipeline.graph.quantized.use_tables import use_tables, use_tables_alone
from tvmopt.pipeline.graph.read_onnx import read_onnx
from tvmopt.pipeline.graph.recognize import recognize, recognize_typed
from tvmopt.pipeline.graph.siblings.merge_recurrences import merge_recurrences
from tvmopt.pipeline.graph.siblings.repeat_late import repeat_late
from tvmopt.pipeline.importers.onnx_form.building.counted.functions import ORIGINS
from tvmopt.pipeline.importers.onnx_form.building.suppression import SELECTED_BOXES
from tvmopt.pipeline.importers.onnx_form.operators import GRAPH_OPERATORS
from tvmopt.pipeline.types import ImportedModel
from tvmopt.schedules.registry import has_templates
from tvmopt.schedules.target import Target

_OURS = {**ORIGINS, SELECTED_BOXES: "NonMaxSuppression"}
"""Operators of our own domain, and what each stands for, as messages name it."""

ALTERNATIVES = (Alternative("separable", fuse_separable),)
"""The alternatives for pieces of a graph, in the order in which they are applied."""


@dataclass(frozen=True, slots=True)
class OptimizedModel:
    """A model ready for code generation.

    Attributes:
        model: the imported model.
        target: what layouts were planned for.
        graph: nodes of our own operators or of ONNX, with planned layouts.
    """

    model: ImportedModel
    target: Target
    graph: Graph


def passes(
    target: Target, choice: Choice = stay_apart, alternatives: Sequence[Alternative] = ALTERNATIVES
) -> tuple[Callable[[Graph], Graph], ...]:
    """The passes for a graph, in order.

    For a target without templates, operators stay as TVM imports them, except that batch normalisation is folded.
    """
    if not has_templates(target):
        return (_refuse_own_operators, fold_batchnorm)
    return (
        fold_batchnorm,
        lambda graph: use_integers(graph, target),
        find_norms,
        guard_indices,
        recognize,
        fuse_attention,
        recognize_typed,
        merge_reshapes,
        find_group_norms,
        delay_views,
        merge_reshapes,
        keep_rows_divided,
        repeat_late,
        merge_recurrences,
        stay_in_maps,
        merge_branches,
        resize_late,
        lambda graph: compose_mixers(graph, target),
        fold_pad,
        fold_slice,
        trim_taps,
        lambda graph: pick_pixels(graph, target),
        lambda graph: split_groups(graph, target),
        lambda graph: widen_phases(graph, target),
        use_tables,
        fuse_epilogue,
        fold_scales,
        lambda graph: use_tables_alone(graph, target),
        lambda graph: choose_channels(graph, target),
        find_copies,
        lambda graph: fuse_expanded(graph, target),
        *(_chosen(alternative, target, choice) for alternative in alternatives),
        lambda graph: merge_groups(graph, target),
        lambda graph: say_what_fits(graph, target),  # of the weights that kernels get
        lambda graph: plan_layout(graph, target),
    )


def _chosen(alternative: Alternative, target: Target, choice: Choice) -> Callable[[Graph], Graph]:
    """The pass that replaces the pieces that `choice` gives to `alternative`."""

    def takes(piece: Piece) -> bool:
        return choice(alternative.name, piece)

    return lambda graph: alternative.rewrite(graph, target, takes)


def _refuse_own_operators(graph: Graph) -> Graph:
    """`graph`, if TVM's importer has a converter for each of its operators.

    Raises:
        UnsupportedModelError: for an operator that only our templates for CPUs support; names the layer.
    """
    for node in graph.nodes:
        if node.kind in GRAPH_OPERATORS or node.kind in _OURS:
            kind = _OURS.get(node.kind, node.kind)
            raise UnsupportedModelError(f"layer {node.layers[0]!r} ({kind}): supported on CPUs only, not on a GPU")
    return graph


def optimize(
    model: ImportedModel,
    target: Target,
    choice: Choice = stay_apart,
    alternatives: Sequence[Alternative] = ALTERNATIVES,
) -> OptimizedModel:
    """Runs all passes on `model`.

    Args:
        model: the imported model.
        target: what layouts are planned for.
        choice: which alternative replaces which piece (`pipeline.tasks.alternatives` finds the fastest).
        alternatives: the ways to replace pieces.

    Raises:
        UnsupportedModelError: when a value has no static shape, or this target does not support a layer.
    """
    graph = read_onnx(model.normalized, model.weights)
    for run in passes(target, choice, alternatives):
        graph = run(graph)
    return OptimizedModel(model, target, graph)
