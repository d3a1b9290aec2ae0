"""How each layer of a model is compiled, and all gaps in coverage at once, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from tvmopt.pipeline.errors import BuildError, RuntimeMissingError
from tvmopt.pipeline.graph.ir import ONNX, Node
from tvmopt.pipeline.importers.survey import Survey
from tvmopt.pipeline.inspection.remedies import REMEDY_FALLBACK, TEMPLATE_FORMS, operator_remedy, value_remedy
from tvmopt.pipeline.support.silence import silent
from tvmopt.pipeline.tasks.bind import BoundModel, BoundNode
from tvmopt.schedules.registry import has_templates
from tvmopt.schedules.target import Target

FALLBACK, VIEW, FOLDED, GPU_RULES = "fallback", "view", "folded", "GPU rules"
"""Labels for layers that no template takes; other layers have their template's name.

In this order: TVM's importer lowers it and the fallback rule schedules it; it moves no bytes; it became part of a
constant or of another layer; TVM's rules for GPUs schedule it.
"""

NONE, UNKNOWN = "none", "–"
"""Labels for a layer that cannot be compiled, and for any layer of a model without a normal form."""

Stage = Literal["importer", "templates", "target"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that is not covered.

    Attributes:
        stage: which part of the compiler lacks it.
        what: the operator, value or tool, and what is wrong.
        layers: names of the affected layers; only the first if no others are known; none for a tool.
        blocks: whether it prevents compiling the model; else the model runs, but slower than it could.
        remedy: what to do about it.
    """

    stage: Stage
    what: str
    layers: tuple[str, ...]
    blocks: bool
    remedy: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How a model is compiled for a target.

    Attributes:
        kernels: for each layer its template's name, or else a label (`FALLBACK`, …).
        gaps: everything that is not covered; blocking gaps come first.
    """

    kernels: Mapping[str, str]
    gaps: tuple[Gap, ...]

    @property
    def compiles(self) -> bool:
        """Whether no known gap prevents compiling the model."""
        return not any(gap.blocks for gap in self.gaps)


def cover(survey: Survey, optimized: BoundModel | None, target: Target) -> Coverage:
    """What the importer, the templates and the target cover of a model.

    Args:
        survey: of the model.
        optimized: the graph for `target`; None when the model has no normal form.
        target: what it would be compiled for.
    """
    gaps = [*_importer_gaps(survey), *_target_gaps(target)]
    names = [node.name for node in survey.original.graph.node]
    kernels = dict.fromkeys(names, UNKNOWN)
    if optimized is not None:
        unknown = {item.operator for item in survey.operators}
        if has_templates(target):
            gaps += _layer_gaps(optimized, unknown)
        refused = {layer for gap in gaps if gap.blocks for layer in gap.layers}
        refused |= {layer for node in optimized.graph.nodes if node.kind in unknown for layer in node.layers}
        if has_templates(target):
            gaps += _template_gaps(optimized, refused)
        kernels = _kernels(optimized, names, refused)
    return Coverage(kernels, tuple(sorted(gaps, key=lambda gap: not gap.blocks)))


def _importer_gaps(survey: Survey) -> Iterator[Gap]:
    """Operators and values that importing refuses."""
    for item in survey.operators:
        where = f" of domain {item.domain!r}" if item.domain else ""
        what = f"operator {item.operator}{where}, {item.count} of them"
        yield Gap("importer", what, (item.first,), True, operator_remedy(item))
    for layer, fault in survey.values:
        name = layer.rpartition(" (")[0].strip("'")
        yield Gap("importer", fault, (name,) if name else (), True, value_remedy(fault, layer))
    if survey.refusal and not survey.operators:
        yield Gap("importer", survey.refusal, (), True, "export the model again, or for a newer opset")


def _target_gaps(target: Target) -> Iterator[Gap]:
    """What this machine lacks to build for `target`, and what the target lacks."""
    from tvmopt.pipeline.compiler.native.linker import linker_of

    try:
        linker_of(target)
    except RuntimeMissingError as error:
        what, _, remedy = str(error).partition(": ")
        yield Gap("target", what, (), True, remedy)
    if not has_templates(target):
        what = "no templates for GPUs: TVM's rules schedule every layer, and nothing is tuned"
        yield Gap("target", what, (), False, "compile for a CPU where tuned kernels matter more")


def _template_gaps(optimized: BoundModel, refused: AbstractSet[str]) -> Iterator[Gap]:
    """Layers without a template, one gap for each operator."""
    left = [node for node in optimized.graph.nodes if node.op == ONNX and refused.isdisjoint(node.layers)]
    for kind in dict.fromkeys(node.kind for node in left):
        layers = tuple(dict.fromkeys(layer for node in left if node.kind == kind for layer in node.layers))
        form = TEMPLATE_FORMS.get(kind)
        why = f"templates take it only {form}" if form else "no template takes the operator"
        yield Gap("templates", f"{kind}: {why}", layers, False, REMEDY_FALLBACK)
    for bound in optimized.nodes:
        if bound.workload is not None and bound.kernel is None:
            what = f"no {bound.node.op} for {optimized.target.key}"
            yield Gap("target", what, bound.node.layers, True, "compile for another target, and report this as a bug")


def _layer_gaps(optimized: BoundModel, unknown: AbstractSet[str]) -> Iterator[Gap]:
    """Layers that TVM refuses although their operator is supported; one gap for each kind of layer.

    Args:
        optimized: the graph.
        unknown: operators that are not supported anyway.
    """
    from tvmopt.pipeline.compiler.check_layers import layers_alike
    from tvmopt.pipeline.support.tvm import import_compiler

    groups = [alike for alike in layers_alike(optimized.graph) if alike[0].kind not in unknown]
    if groups:
        import_compiler()
    for alike in groups:
        kind, reason = alike[0].kind, _refusal(optimized, alike[0])
        if reason:
            layers = tuple(dict.fromkeys(layer for node in alike for layer in node.layers))
            remedy = f"export with another form of {kind} (attributes, dtypes, fewer outputs), or other operators"
            yield Gap("importer", f"{kind}: {reason}", layers, True, remedy)


def _refusal(optimized: BoundModel, node: Node) -> str:
    """Why TVM does not take `node`, its importer or its lowering; empty when both do."""
    from tvmopt.pipeline.compiler.tvm_layer import schedule_layer

    with silent():  # TVM also prints what is wrong, and complains when its unfinished work is discarded
        try:
            schedule_layer(optimized.graph, node, optimized.target)
        except BuildError as error:
            return str(error).removeprefix(f"layer {node.layers[0]!r} ({node.kind})").lstrip(": ")
        return ""


def _made_by(bound: BoundNode) -> str:
    """What computes a node."""
    if bound.is_view or bound.is_check:
        return VIEW
    if bound.is_imported:
        return FALLBACK
    return NONE if bound.kernel is None else bound.kernel.template.name


def _kernels(optimized: BoundModel, names: Sequence[str], refused: AbstractSet[str]) -> dict[str, str]:
    """For each layer what computes it; if several kernels do, the first that is not a view."""
    if not has_templates(optimized.target):
        return {name: NONE if name in refused else GPU_RULES for name in names}
    kernels: dict[str, str] = {}
    for bound in optimized.nodes:
        for layer in bound.node.layers:
            if kernels.get(layer, VIEW) == VIEW:
                kernels[layer] = _made_by(bound)
    return {name: NONE if name in refused else kernels.get(name, FOLDED) for name in names}
