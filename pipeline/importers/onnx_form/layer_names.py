"""Layers of the user's model: every ONNX node has a name, and remembers from which layer it came."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

LAYER_KEY = "tvmopt.layer"
"""Key in a node's `metadata_props`: the name of the node of the user's model that it stands for."""


def layer_of(node: onnx.NodeProto) -> str:
    """The layer of the user's model that `node` stands for: what errors and tables name."""
    return next((entry.value for entry in node.metadata_props if entry.key == LAYER_KEY), node.name)


def name_nodes(nodes: Iterable[onnx.NodeProto]) -> None:
    """Gives each node, in place, a name that no other has; names that are there and unique stay.

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
    """Notes at each node of `graph`, in place, which node of `original` it stands for; both are in execution order.

    A node is recognised by its name, else by a value that both compute; one that an optimiser put in between belongs
    to the layer that consumes it. Nodes without a name are named after their layer.
    """
    names = {node.name for node in original.node}
    producers = {output: node.name for node in original.node for output in node.output if output}
    layers: dict[int, str] = {}
    consumer: dict[str, str] = {}
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        layer = node.name if node.name in names else _first(node.output, producers) or _first(node.output, consumer)
        layers[index] = layer or _first(node.input, producers) or node.name or node.op_type
        for value in node.input:
            consumer.setdefault(value, layers[index])
    taken: set[str] = set()
    for index, node in enumerate(graph.node):
        node.name = unique(node.name or f"{layers[index]}/{node.op_type}", taken)
        del node.metadata_props[:]
        node.metadata_props.add(key=LAYER_KEY, value=layers[index])


def _first(values: Iterable[str], known: dict[str, str]) -> str | None:
    """What `known` has for the first of `values` that it knows."""
    return next((known[value] for value in values if value in known), None)
