"""How much memory a model needs: at least, at most, and as we plan it. Nothing is run and no code is generated."""

from __future__ import annotations

from dataclasses import dataclass

from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.inspection.costs import LayerCost, ModelCosts
from tvmopt.pipeline.inspection.costs.rules import VIEWS
from tvmopt.pipeline.inspection.costs.values import nbytes
from tvmopt.pipeline.support.messages import one_line
from tvmopt.pipeline.tasks.bind import BoundModel


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that a model takes, in the dtypes of the source model.

    Attributes:
        largest_layer: the layer whose operands and results together are largest; empty where no size is known.
        largest_layer_bytes: their bytes, its weights included: execution layer by layer cannot need less at once.
        activations_bytes: the model's inputs and all layers' results, if all of them were kept.
        weights_bytes: all parameters.
        arena_bytes: as `planned_arena` gives it, halos and blocks included; None if the model cannot be compiled.
    """

    largest_layer: str
    largest_layer_bytes: int
    activations_bytes: int
    weights_bytes: int
    arena_bytes: int | None

    @property
    def largest_bytes(self) -> int:
        """What an execution that frees nothing takes: all activations and the weights."""
        return self.activations_bytes + self.weights_bytes


def footprint(costs: ModelCosts, arena_bytes: int | None) -> Footprint:
    """The memory that a model needs.

    Args:
        costs: its layers.
        arena_bytes: from `planned_arena`; None where that fails.
    """
    largest = max(costs.layers, key=_working_set, default=None)
    results = {spec.name for layer in costs.layers for spec in layer.outputs}
    kept = {spec for layer in costs.layers if layer.operator not in VIEWS for spec in layer.outputs}
    kept |= {spec for spec in costs.inputs if spec.name not in results}
    return Footprint(
        largest_layer=largest.layer if largest else "",
        largest_layer_bytes=_working_set(largest) if largest else 0,
        activations_bytes=sum(map(nbytes, kept)),
        weights_bytes=costs.parameter_bytes,
        arena_bytes=arena_bytes,
    )


def planned_arena(optimized: BoundModel) -> int:
    """Bytes of the memory that the compiled model's intermediate tensors share.

    On the native runtime the model's inputs and outputs share it too.

    Args:
        optimized: the graph; its kernels are lowered with their defaults, which does not change what they store.

    Raises:
        BuildError: when a layer cannot be lowered; names it.
    """
    from tvmopt.pipeline.compiler import build
    from tvmopt.pipeline.compiler.arena import plan_arena
    from tvmopt.pipeline.compiler.lower import lower
    from tvmopt.pipeline.compiler.program import program_of
    from tvmopt.pipeline.support.interrupts import interruptible
    from tvmopt.pipeline.support.tvm import import_compiler

    import_compiler()
    with interruptible():
        try:
            module = build.schedule(lower(optimized, {}), optimized.target)
        except (RuntimeError, TypeError, ValueError) as error:  # what TVM raises
            raise BuildError(f"TVM cannot lower the model: {one_line(error)}") from error
        program = program_of(build.plan_calls(module, optimized.target))
        if program is not None:
            return plan_arena(program).nbytes
        return sum(build.storage_sizes(build.plan_memory(module, optimized.target)))


def _working_set(layer: LayerCost) -> int:
    """Bytes of all operands and results of a layer; 0 for a view."""
    if layer.operator in VIEWS:
        return 0
    return sum(nbytes(spec) for spec in {*layer.inputs, *layer.outputs})
