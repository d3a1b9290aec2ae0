"""The output of `tvmopt inspect`, as tables and lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType

from tvmopt.cli.tables import Column, Table
from tvmopt.pipeline.inspection.coverage import FALLBACK, FOLDED, GPU_RULES, NONE, UNKNOWN, VIEW
from tvmopt.pipeline.inspection.inspect import task_flops
from tvmopt.pipeline.tasks.precision import in_integers, task_precision

if TYPE_CHECKING:
    from tvmopt.pipeline.inspection.costs import LayerCost
    from tvmopt.pipeline.inspection.coverage import Coverage
    from tvmopt.pipeline.inspection.footprint import Footprint
    from tvmopt.pipeline.inspection.inspect import Inspection
    from tvmopt.pipeline.types import TensorSpec

INDENT = 2

_FEW = 3
"""Maximum number of layers that a row of gaps or tasks names."""


def parts(found: Inspection) -> Iterator[RenderableType]:
    """All parts of the output, in order."""
    yield f"{found.name} for {found.target.key}"
    yield f"  inputs   {_tensors(found.costs.inputs)}"
    yield f"  outputs  {_tensors(found.costs.outputs)}\n"
    yield layer_table(found)
    if found.costs.uncounted:
        yield f"\nNot counted: {'; '.join(_uncounted(found))}"
    yield "\nMemory"
    yield memory_table(found.memory)
    yield "\nCoverage"
    yield from (f"  {line}" for line in coverage_lines(found))
    if found.coverage.gaps:
        yield gap_table(found.coverage)
    if found.tasks:
        yield "\nTasks"
        yield task_table(found)


def layer_table(found: Inspection) -> Table:
    """One row per layer and a total; integer operations have a column if there are any."""
    total = found.costs.total
    columns: list[tuple[Column, Callable[[LayerCost], str]]] = [
        (Column("layer", least=16), lambda layer: layer.layer),
        (Column("operator", least=10), lambda layer: layer.operator),
        (Column("shapes", least=40, rank=2), shapes),
        (Column("precision"), lambda layer: layer.precision if layer is not total else ""),
        (Column("GFLOP", number=True), lambda layer: giga(layer.flops)),
        (Column("GIOP", number=True), lambda layer: giga(layer.integer_ops)),
        (Column("parameters", number=True, rank=1), lambda layer: f"{layer.parameters:,}"),
        (Column("KiB moved", number=True), lambda layer: kib(layer.nbytes)),
        (Column("read KiB", number=True, rank=3), lambda layer: kib(layer.read_bytes)),
        (Column("written KiB", number=True, rank=3), lambda layer: kib(layer.written_bytes)),
        (
            Column("op/byte" if total.integer_ops else "FLOP/byte", number=True),
            lambda layer: f"{layer.intensity:.1f}",
        ),
        (
            Column("kernel", least=10),
            lambda layer: found.coverage.kernels.get(layer.layer, "") if layer is not total else "",
        ),
    ]
    shown = [(column, cell) for column, cell in columns if column.name != "GIOP" or total.integer_ops]
    table = Table(*(column for column, _ in shown))
    for layer in found.costs.layers:
        table.add(*(cell(layer) for _, cell in shown))
    table.add(*(cell(total) for _, cell in shown), style="bold")
    return table


def memory_table(memory: Footprint) -> Table:
    """The memory that a model takes, from least to most."""
    arena = "–" if memory.arena_bytes is None else kib(memory.arena_bytes)
    table = Table(Column("memory"), Column("KiB", number=True), Column("what it is", least=24), indent=INDENT)
    table.add("weights", kib(memory.weights_bytes), "all parameters")
    table.add("minimum", kib(memory.largest_layer_bytes), f"the largest layer, weights too: {memory.largest_layer}")
    table.add("planned arena", arena, "one buffer that a compiled model's kernels share for their results")
    table.add("all activations", kib(memory.activations_bytes), "the inputs and all layers' results, none freed")
    table.add("maximum", kib(memory.largest_bytes), "all activations and the weights")
    return table


def coverage_lines(found: Inspection) -> Iterator[str]:
    """How many layers the importer, the templates and the target cover."""
    blocking = {stage: sum(g.stage == stage and g.blocks for g in found.coverage.gaps) for stage in _STAGES}
    kernels = [found.coverage.kernels[layer.layer] for layer in found.costs.layers]
    for stage in ("importer", "target"):
        gaps = blocking[stage]
        verdict = "covers all" if not gaps else f"{gaps} {'gap' if gaps == 1 else 'gaps'} to close before compiling"
        yield f"{stage:<10} {verdict}"
    if UNKNOWN in kernels:
        yield f"{'templates':<10} not known before the importer takes the model"
        return
    counted = {kind: kernels.count(kind) for kind in _WORDS}
    own = len(kernels) - sum(counted.values())
    others = "".join(f", {count} {_WORDS[kind]}" for kind, count in counted.items() if count)
    yield f"{'templates':<10} {own} of {len(kernels)} layers{others}"


_STAGES = ("importer", "templates", "target")
_WORDS = {
    FALLBACK: "by the fallback",
    VIEW: "only views",
    FOLDED: "folded away",
    GPU_RULES: "by TVM's rules for GPUs",
    NONE: "not at all",
}


def gap_table(coverage: Coverage) -> Table:
    """All gaps: what is not covered, where, and the remedy."""
    table = Table(
        Column("missing in"),
        Column("what", least=14),
        Column("compiles"),
        Column("layers", least=12),
        Column("what to do", least=16),
        indent=INDENT,
    )
    for gap in coverage.gaps:
        table.add(gap.stage, gap.what, "no" if gap.blocks else "yes", few(gap.layers), gap.remedy)
    return table


def task_table(found: Inspection) -> Table:
    """The distinct kernels: how often each runs and what one run costs."""
    integers = any(map(in_integers, found.tasks))
    table = Table(
        Column("task"),
        Column("weight", number=True),
        Column("precision"),
        Column("GFLOP", number=True),
        *([Column("GIOP", number=True)] if integers else []),
        Column("layers", least=16),
        indent=INDENT,
    )
    for task in found.tasks:
        operations = giga(task_flops(task, found.target))
        both = (("", operations) if in_integers(task) else (operations, "")) if integers else (operations,)
        table.add(task.name, str(task.weight), task_precision(task), *both, few(task.layers))
    return table


def shapes(layer: LayerCost) -> str:
    """``1×64×56×56, 64×64×3×3 → 1×64×56×56``; ``?`` where nothing is known.

    Operands that are only parameters, such as shapes and axes, are left out.
    """
    data = [spec for spec in layer.inputs if spec.dtype != "int64" or len(spec.shape) > 1] or layer.inputs
    return " → ".join(", ".join(map(_shape, specs)) or "?" for specs in (data, layer.outputs))


def giga(operations: int) -> str:
    """Operations in units of 10⁹: four decimals, or two significant digits where all four would be zeros."""
    amount = operations / 1e9
    return f"{amount:.4f}" if amount >= 5e-5 or not operations else f"{amount:.1e}"


def kib(nbytes: int) -> str:
    """Bytes in KiB."""
    return f"{nbytes / 2**10:,.1f}"


def few(layers: Sequence[str]) -> str:
    """The first names, and the number of further ones."""
    rest = len(layers) - _FEW
    return ", ".join(layers[:_FEW]) + (f" and {rest} more" if rest > 0 else "")


def _uncounted(found: Inspection) -> Iterator[str]:
    """Each reason with the layers that it applies to."""
    reasons = found.costs.uncounted
    for reason in dict.fromkeys(reasons.values()):
        yield f"{reason} ({few([layer for layer, why in reasons.items() if why == reason])})"


def _tensors(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{spec.name} {_shape(spec)} {spec.dtype}" for spec in specs) or "?"


def _shape(spec: TensorSpec) -> str:
    return "×".join(map(str, spec.shape)) or "scalar"
