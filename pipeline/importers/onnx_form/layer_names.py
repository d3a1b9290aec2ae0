"""Layers of the user's model: every ONNX node gets a name and records which layer it came from."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

LAYER_KEY = "tvmopt.layer"
"""Key in a node's `metadata_props` for the name of the user's node that it stands for."""


def layer_of(node: onnx.NodeProto) -> str:
    """The layer of the user's model that `node` stands for, as errors and tables name it."""
    return next((entry.value for entry in node.metadata_props if entry.key == LAYER_KEY), node.name)


def name_nodes(nodes: Iterable[onnx.NodeProto]) -> None:
    """Gives each node a unique name, in place; existing unique names stay.

    A node without one is named after what it computes: its operator and first output.
    """
    taken: set[str] = set()
    for node in nodes:
        wanted = node.name or f"{node.op_type}_{next(filter(None, node.output), '')}"
        node.name = unique(wanted, taken)


def unique(name: str, taken: set[str]) -> str:
    """`name`, or `name` with the first free number; adds it to `taken`."""
    free, number = name, 1
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    taken.add(free)
    return free


def record_layers(graph: onnx.GraphProto, original: onnx.GraphProto) -> None:
    """Records at each node of `graph`, in place, which node of `original` it stands for; both are in execution order.

    Nodes are matched by name, else by a value that both compute, else by the layer that their name begins with; another
    node that an optimiser inserted belongs to the layer that reads its result. Nodes without a name are named after
    their layer.
    """
    names = {node.name for node in original.node}
    producers = {output: node.name for node in original.node for output in node.output if output}
    layers: dict[int, str] = {}
    consumer: dict[str, str] = {}
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        before = node.name.rpartition("/")[0]
        layer = node.name if node.name in names else _first(node.output, producers)
        layer = layer or (before if before in names else _first(node.output, consumer))
        layers[index] = layer or _first(node.input, producers) or node.name or node.op_type
        for value in node.input:
            consumer.setdefault(value, layers[index])
    taken: set[str] = set()
    for index, node in enumerate(graph.node):
        node.name = unique(node.name or f"{layers[index]}/{node.op_type}", taken)
        del node.metadata_props[:]
        node.metadata_props.add(key=LAYER_KEY, value=layers[index])


def _first(values: Iterable[str], known: dict[str, str]) -> str | None:
    """The entry of `known` for the first of `values` that it has; None when it has none of them."""
    return next((known[value] for value in values if value in known), None)
