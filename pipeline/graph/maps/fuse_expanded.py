"""Fuses a depthwise convolution with the 1×1 convolution that widens the map for it. Returns a new graph.

In one kernel, the rows of the wide map between the two stay in the cache. That pays where the whole map would not:

1. It takes more than `MAP_SHARE` of the second-level cache; from a smaller one, the depthwise convolution reads what
   the 1×1 convolution has just written.
2. It has at least `WIDER` times the channels of the data. The kernel computes some rows twice, where parts of the map
   meet; with many channels of data, these products cost more than writing and reading the map.

Unlike `fuse_separable`, this was faster wherever it was measured, so it needs no measuring.
"""

from __future__ import annotations

from tvmopt.pipeline.graph.ir import Editor, Graph, Node
from tvmopt.schedules.expression import Arg, rename_arguments
from tvmopt.schedules.target import Target

MAP_SHARE = 0.75
WIDER = 2
FEWEST_CHANNELS = 8
"""With fewer, the 1×1 convolution may read data in row-major order."""
FEWEST_ROWS = 4
"""The rows of a map are divided into parts; lines are not."""


def fuse_expanded(graph: Graph, target: Target) -> Graph:
    """Makes one ``expanded_conv2d`` of each pair that fits, where that pays."""
    uses, producers = graph.uses(), graph.producers()
    pairs: dict[int, Node] = {}
    for node in graph.nodes:
        before = producers.get(node.inputs[0]) if node.op == "depthwise_conv2d" else None
        if before is None or uses[node.inputs[0]] != 1:
            continue
        if _fits(graph, before, node) and pays(graph, before, target):
            pairs[id(node)] = before
    if not pairs:
        return graph
    editor = Editor(graph)
    for node in graph.nodes:
        editor.add(_fused(pairs[id(node)], node) if id(node) in pairs else node)
    # This drops the fused nodes, which have no reader any more.
    return editor.graph_of()


def pays(graph: Graph, pointwise: Node, target: Target) -> bool:
    """Whether the map that a 1×1 convolution makes leaves the cache, and is wider than its data."""
    data, made = graph.tensor(pointwise.inputs[0]), graph.tensor(pointwise.output)
    far = made.nbytes // made.shape[0] > MAP_SHARE * target.l2_bytes
    return far and made.shape[1] >= WIDER * data.shape[1] and made.shape[2] >= FEWEST_ROWS


def _fits(graph: Graph, pointwise: Node, depthwise: Node) -> bool:
    """Whether one kernel can compute both: the first's operands do not depend on the input."""
    if pointwise.op != "conv2d" or pointwise.attrs["groups"] != 1:
        return False
    if graph.tensor(pointwise.inputs[1]).shape[2:] != (1, 1) or pointwise.attrs["strides"] != (1, 1):
        return False
    if pointwise.attrs["pads"] != (0, 0, 0, 0) or graph.tensor(pointwise.inputs[0]).shape[1] < FEWEST_CHANNELS:
        return False
    if any(graph.tensor(name).dtype != "float32" for name in (*pointwise.inputs, *depthwise.inputs)):
        return False
    return all(name in graph.constants for name in pointwise.inputs[1:])


def _fused(pointwise: Node, depthwise: Node) -> Node:
    """The fused node; operands of the first operator's expression come before those of the second's."""
    inner, after = pointwise.inputs[2:], depthwise.inputs[2:]
    return Node(
        "expanded_conv2d",
        (pointwise.inputs[0], depthwise.inputs[1], pointwise.inputs[1], *inner, *after),
        depthwise.outputs,
        (*pointwise.layers, *depthwise.layers),
        {name: value for name, value in depthwise.attrs.items() if name != "groups"},
        rename_arguments(depthwise.epilogue, lambda index: Arg(index + 1 + len(inner))),
        inner=rename_arguments(pointwise.epilogue, lambda index: Arg(index + 1)),
    )
