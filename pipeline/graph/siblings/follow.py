"""Which operators can compute several results as one batch: where in the result a batch of inputs comes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Graph, Node

Follow = Callable[[Graph, Node, int, Sequence[int]], int | None]
"""From a node, the axis of its batched inputs and their places: the axis of the result; None if it mixes the batch."""


def follow(graph: Graph, node: Node, axis: int, places: Sequence[int]) -> int | None:
    """The axis along which the results of nodes like `node` can be one result, if inputs are one along `axis`.

    Args:
        graph: has the inputs of `node`, not batched.
        node: one of several that differ only in the inputs at `places`.
        axis: of these inputs.
        places: of the inputs that become batches; all others are constants that the nodes share.
    """
    rule = _RULES.get(node.kind)
    return None if rule is None or len(node.outputs) != 1 else rule(graph, node, axis, places)


def _rows(graph: Graph, node: Node, axis: int, places: Sequence[int]) -> int | None:
    """A product with shared weights: each row of the left operand is computed by itself."""
    shape = graph.tensor(node.inputs[0]).shape
    alike = all(set(graph.tensor(name).shape[:-1]) <= {1} for name in node.inputs[2:])
    return axis if tuple(places) == (0,) and axis < len(shape) - 1 and alike else None


def _pointwise(graph: Graph, node: Node, axis: int, places: Sequence[int]) -> int | None:
    """Every element by itself; constants must be the same all along the axis."""
    rank = len(graph.tensor(node.output).shape)
    behind = len(graph.tensor(node.inputs[places[0]]).shape) - axis
    for place, name in enumerate(node.inputs):
        shape = graph.tensor(name).shape
        if place in places:
            if len(shape) - axis != behind or shape[axis] != graph.tensor(node.output).shape[rank - behind]:
                return None
        elif len(shape) >= behind and shape[-behind] != 1:
            return None
    return rank - behind


def _reshape(graph: Graph, node: Node, axis: int, places: Sequence[int]) -> int | None:
    """The axis may move, but must neither be divided nor joined with another."""
    before, after = graph.tensor(node.inputs[0]).shape, graph.tensor(node.output).shape
    for place, size in enumerate(after):
        if size == before[axis] and math.prod(after[:place]) == math.prod(before[:axis]):
            return place
    return None


def _slice(graph: Graph, node: Node, axis: int, places: Sequence[int]) -> int | None:
    shape = graph.tensor(node.inputs[0]).shape
    if tuple(places) != (0,) or len(node.inputs) < 4 or node.inputs[3] not in graph.constants:
        return None
    cut = {int(each) % len(shape) for each in graph.constants[node.inputs[3]].reshape(-1)}
    return None if axis in cut else axis


def _concat(graph: Graph, node: Node, axis: int, places: Sequence[int]) -> int | None:
    along = int(attributes(node)["axis"]) % len(graph.tensor(node.output).shape)
    return axis if along != axis and len(places) == len(node.inputs) else None


def _transpose(graph: Graph, node: Node, axis: int, places: Sequence[int]) -> int | None:
    rank = len(graph.tensor(node.output).shape)
    return list(attributes(node).get("perm", range(rank)[::-1])).index(axis)


def _softmax(graph: Graph, node: Node, axis: int, places: Sequence[int]) -> int | None:
    axes = node.attrs["axes"]
    assert isinstance(axes, tuple)
    return None if axis in axes else axis


_RULES: Mapping[str, Follow] = {
    "dense": _rows,
    "pointwise": _pointwise,
    "reshape": _reshape,
    "softmax": _softmax,
    "Slice": _slice,
    "Concat": _concat,
    "Transpose": _transpose,
}
