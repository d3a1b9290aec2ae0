"""Maps a runtime's kernels to the layers of the source model that they compute.

A runtime names one or two layers for most kernels, through the kernel's name or its output value. The other layers were
fused into those kernels, and the graph shows where: an elementwise layer into the kernel that produces its input (as an
epilogue; the last to run if there are several), any other layer into the kernel that consumes its output.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_EPILOGUES = frozenset(
    (
        *("Add", "Sub", "Mul", "Div", "Sum", "Max", "Min", "Pow", "BatchNormalization", "Identity", "Dropout", "Cast"),
        *("Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "Sigmoid", "HardSigmoid"),
        *("HardSwish", "Swish", "Tanh", "Gelu", "Mish", "Softplus", "Softsign", "Erf", "Exp", "Log", "Sqrt", "Abs"),
        *("Neg", "Reciprocal", "Floor", "Ceil", "Round", "Not", "Where", "Greater", "Less", "Equal", "And", "Or"),
    )
)
"""Operators that runtimes fuse into the producer of their input."""


@dataclass(frozen=True, slots=True)
class LayerGraph:
    """The layers of a model and their connections.

    Attributes:
        operators: each layer's ONNX operator, in the order they run.
        producers: the layer that produces each value.
        inputs: the layers that produce each layer's inputs.
        readers: the layers that consume each layer's outputs.
    """

    operators: Mapping[str, str]
    producers: Mapping[str, str]
    inputs: Mapping[str, tuple[str, ...]]
    readers: Mapping[str, tuple[str, ...]]

    def find(self, name: str) -> str | None:
        """The layer called `name`, or the layer that produces the value called `name`."""
        return name if name in self.operators else self.producers.get(name)


def read_layers(path: str) -> LayerGraph:
    """The layers of the ONNX file at `path`: its nodes, except constants."""
    import onnx

    return layers_of(onnx.load(path, load_external_data=False).graph)


def layers_of(graph: onnx.GraphProto) -> LayerGraph:
    """The layers of an ONNX graph: its nodes, except constants."""
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    producers = {value: node.name for node in nodes for value in node.output if value}
    inputs = {node.name: tuple(dict.fromkeys(producers[v] for v in _taken(node) if v in producers)) for node in nodes}
    readers: dict[str, list[str]] = {}
    for name, before in inputs.items():
        for layer in before:
            readers.setdefault(layer, []).append(name)
    return LayerGraph(
        {node.name: node.op_type for node in nodes},
        producers,
        inputs,
        {layer: tuple(names) for layer, names in readers.items()},
    )


def _taken(node: onnx.NodeProto) -> list[str]:
    """Values that a node reads, including those that only its bodies (of a loop or a branch) read."""
    bodies = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return [*node.input, *(value for body in bodies for inner in body.node for value in _taken(inner))]


def find_layer(graph: LayerGraph, name: str, rename: Callable[[str], Iterable[str]]) -> str | None:
    """The layer that a runtime means by `name`, either literally or after one of the changes by `rename`."""
    found = (graph.find(candidate) for candidate in (name, *rename(name)))
    return next((layer for layer in found if layer is not None), None)


def cover_layers(graph: LayerGraph, claims: Sequence[Collection[str]]) -> list[tuple[str, ...]]:
    """All layers that each kernel computes.

    Args:
        graph: the source model's layers.
        claims: the layers that each kernel is known to compute, in the order of execution; may be none.

    Returns:
        For each kernel its layers, in the model's order. A kernel without a claim gets none.
    """
    owner: dict[str, int] = {}
    for kernel, layers in enumerate(claims):
        for layer in layers:
            owner.setdefault(layer, kernel)
    given: dict[int, list[str]] = {}
    open_layers = [layer for layer in graph.operators if layer not in owner]
    while open_layers:
        taken = _take_epilogues(graph, owner, open_layers) or _take_prologues(graph, owner, open_layers)
        if not taken:
            break
        for layer, kernel in taken.items():
            owner[layer] = kernel
            given.setdefault(kernel, []).append(layer)
        open_layers = [layer for layer in open_layers if layer not in owner]
    place = {layer: index for index, layer in enumerate(graph.operators)}
    return [
        tuple(sorted({*claim, *given.get(kernel, ())}, key=lambda layer: place.get(layer, len(place))))
        for kernel, claim in enumerate(claims)
    ]


def _take_epilogues(graph: LayerGraph, owner: Mapping[str, int], layers: Sequence[str]) -> dict[str, int]:
    """Elementwise layers whose inputs all have a kernel; the last of those kernels takes the layer."""
    taken: dict[str, int] = {}
    for layer in layers:
        if graph.operators[layer] not in _EPILOGUES:
            continue
        before = [owner.get(name, taken.get(name)) for name in graph.inputs[layer]]
        kernels = [kernel for kernel in before if kernel is not None]
        if kernels and len(kernels) == len(before):
            taken[layer] = max(kernels)
    return taken


def _take_prologues(graph: LayerGraph, owner: Mapping[str, int], layers: Sequence[str]) -> dict[str, int]:
    """The last layer whose reader has a kernel, else the first whose producer has one; it may in turn settle others."""
    for layer in reversed(layers):
        behind = [owner[name] for name in graph.readers.get(layer, ()) if name in owner]
        if behind:
            return {layer: min(behind)}
    for layer in layers:
        before = [owner[name] for name in graph.inputs[layer] if name in owner]
        if before:
            return {layer: max(before)}
    return {}
