"""Maps the functions that PyTorch runs to layers of the source model.

A function is called inside modules, and layers are named after modules (``features.0/Conv``). The function gets the
first matching unassigned layer, in order, of the innermost module that has any. A function without its own layer (such
as a batch normalisation folded at export) belongs to the layer before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tvmopt.benchmarks.runtimes.profiles.layer_cover import LayerGraph, cover_layers
from tvmopt.benchmarks.runtimes.pytorch.kernel_names import is_named_after, operators_of


@dataclass(frozen=True, slots=True)
class Operation:
    """A function that a run of the model calls.

    Attributes:
        function: its name, such as ``aten::conv2d``.
        module: path of the innermost module that calls it; empty for the outermost.
    """

    function: str
    module: str


def map_operations(operations: Sequence[Operation], source: LayerGraph) -> list[tuple[str, ...]]:
    """The layers of the source model that each operation computes.

    Args:
        operations: the operations of one run, in order.
        source: the model's layers.
    """
    free: dict[str, list[str]] = {}
    for layer in source.operators:
        free.setdefault(layer.rpartition("/")[0], []).append(layer)
    own = [_take(operation, free, source.operators) for operation in operations]
    covered = cover_layers(source, [() if layer is None else (layer,) for layer in own])
    # Operations before the first layer belong to it.
    before = next((layers for layers in covered if layers), ())
    for index, layers in enumerate(covered):
        covered[index] = before = layers or before
    return covered


def _take(operation: Operation, free: Mapping[str, list[str]], operators: Mapping[str, str]) -> str | None:
    """Removes the operation's layer from the free layers and returns it; None when it has none."""
    module = operation.module
    scopes = [module, *(module.rsplit(".", count)[0] for count in range(1, module.count(".") + 1)), ""]
    for scope in dict.fromkeys(scopes):
        layers = free.get(scope, [])
        for layer in layers:
            if operators[layer] in operators_of(operation.function) or is_named_after(layer, operation.function):
                layers.remove(layer)
                return layer
        if layers and scope == module:
            # Its own module has layers but none matches, so it has no layer; outer modules are not searched.
            return None
    return None
