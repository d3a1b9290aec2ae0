"""Which layers the functions stand for that PyTorch runs.

A function is called inside of modules, and layers are named after modules (``features.0/Conv``): among the layers of
the innermost module that has any, in order, the first that may stand for the function and is still free. What has no
layer of its own (a batch normalisation that was folded when the model was exported) belongs to the one before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tvmopt.benchmarks.runtimes.layer_cover import LayerGraph, cover_layers
from tvmopt.benchmarks.runtimes.pytorch.kernel_names import is_named_after, operators_of


@dataclass(frozen=True, slots=True)
class Operation:
    """A function that a run of the model calls.

    Attributes:
        function: ``aten::conv2d``.
        module: path of the innermost module that it is called in; empty for the outermost.
    """

    function: str
    module: str


def map_operations(operations: Sequence[Operation], source: LayerGraph) -> list[tuple[str, ...]]:
    """The layers of the source model that each operation stands for.

    Args:
        operations: of one run, in order.
        source: the model's layers.
    """
    free: dict[str, list[str]] = {}
    for layer in source.operators:
        free.setdefault(layer.rpartition("/")[0], []).append(layer)
    own = [_take(operation, free, source.operators) for operation in operations]
    covered = cover_layers(source, [() if layer is None else (layer,) for layer in own])
    # What lies before the first layer goes to that.
    before = next((layers for layers in covered if layers), ())
    for index, layers in enumerate(covered):
        covered[index] = before = layers or before
    return covered


def _take(operation: Operation, free: Mapping[str, list[str]], operators: Mapping[str, str]) -> str | None:
    """Takes the operation's layer out of those that are free; None when it has none."""
    module = operation.module
    scopes = [module, *(module.rsplit(".", count)[0] for count in range(1, module.count(".") + 1)), ""]
    for scope in dict.fromkeys(scopes):
        layers = free.get(scope, [])
        for layer in layers:
            if operators[layer] in operators_of(operation.function) or is_named_after(layer, operation.function):
                layers.remove(layer)
                return layer
        if layers and scope == module:
            # Its own module has layers, and none that fits: it is no layer, not one of a module further out.
            return None
    return None
