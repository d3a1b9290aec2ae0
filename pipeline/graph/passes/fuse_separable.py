"""Fuses a 1×1 convolution with the depthwise or element-wise operator that only it reads. Returns a new graph.

An element-wise operator (batch normalisation and activation before a convolution, a map scaled by channel) counts as a
depthwise convolution with 1×1 kernels of ones. In one kernel, the rows of the map between the two stay in the cache.
Whether that is faster depends on the machine, so measuring decides (`pipeline.tasks.alternatives`). It is worth
measuring where the whole map would not stay in the cache:

1. The map takes more than `MAP_SHARE` of the second-level cache. A smaller map is still cached when the 1×1 convolution
   reads it, and one kernel takes as long as two.
2. The pointwise weights take less than `WEIGHT_SHARE` of that cache, so that each task, which reads them again for its
   rows, finds them there.
3. The result has fewer channels than the map. With as many or more, the product takes so long that the time to read
   the map is negligible.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tvmopt.pipeline.graph.ir import Editor, Graph, Node
from tvmopt.pipeline.graph.pieces import Piece, Takes, take_all
from tvmopt.schedules.expression import ACC, Arg, Expr, rename_arguments
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Attr, Tensor

MAP_SHARE = 0.5
WEIGHT_SHARE = 0.5


def fuse_separable(graph: Graph, target: Target, takes: Takes = take_all) -> Graph:
    """Makes one ``separable_conv2d`` of each pair of `separable_pairs` that `takes` accepts."""
    pairs = {
        id(node): (before, node)
        for before, node in separable_pairs(graph, target)
        if takes(Piece((before.output, node.output), (node.output,)))
    }
    if not pairs:
        return graph
    editor = Editor(graph)
    for node in graph.nodes:
        editor.add(_fused(editor, *pairs[id(node)]) if id(node) in pairs else node)
    # This drops the fused nodes, which have no reader any more.
    return editor.graph_of()


def separable_pairs(graph: Graph, target: Target) -> Iterator[tuple[Node, Node]]:
    """Pairs of an operator and a 1×1 convolution that could be one kernel, where that is worth measuring."""
    uses, producers = graph.uses(), graph.producers()
    for node in graph.nodes:
        before = producers.get(node.inputs[0]) if node.op == "conv2d" else None
        if before is None or uses[node.inputs[0]] != 1:
            continue
        if _fits(graph, before, node) and pays(graph, before, node, target):
            yield before, node


def pays(graph: Graph, before: Node, pointwise: Node, target: Target) -> bool:
    """Whether it is worth measuring: the map leaves the cache, the weights stay there, the result is narrower."""
    made, weight = graph.tensor(before.output), graph.tensor(pointwise.inputs[1])
    far = made.nbytes // made.shape[0] > MAP_SHARE * target.l2_bytes
    near = weight.nbytes < WEIGHT_SHARE * target.l2_bytes
    return far and near and weight.shape[0] < weight.shape[1]


def _fits(graph: Graph, before: Node, pointwise: Node) -> bool:
    """Whether one kernel can compute both: each pixel of the second depends on one pixel of the first."""
    if pointwise.attrs["groups"] != 1 or graph.tensor(pointwise.inputs[1]).shape[2:] != (1, 1):
        return False
    if pointwise.attrs["strides"] != (1, 1) or any(_pads(pointwise)):
        return False
    if any(graph.tensor(name).dtype != "float32" for name in (*before.inputs, *pointwise.inputs)):
        return False
    if before.op == "depthwise_conv2d":
        return all(name in graph.constants for name in before.inputs[2:])
    return before.op == "pointwise" and _map_of(graph, before) is not None


def _map_of(graph: Graph, node: Node) -> str | None:
    """The only map that an element-wise operator reads, if all its other operands have one value per channel."""
    result = graph.tensor(node.output)
    maps = [name for name in node.inputs if name in graph.values and graph.tensor(name).shape == result.shape]
    others = [graph.tensor(name) for name in node.inputs if name not in maps]
    by_channel = all(x.elements == 1 or x.shape in _channel_shapes(result) for x in others)
    return maps[0] if len(result.shape) == 4 and len(maps) == 1 and by_channel else None


def _channel_shapes(result: Tensor) -> tuple[tuple[int, ...], ...]:
    images, channels = result.shape[:2]
    return ((channels, 1, 1), (1, channels, 1, 1), (images, channels, 1, 1))


def _pads(node: Node) -> tuple[int, ...]:
    pads = node.attrs["pads"]
    assert isinstance(pads, tuple)
    return pads


def _fused(editor: Editor, before: Node, pointwise: Node) -> Node:
    """The fused node; operands of the first operator's expression come before those of the second's."""
    first = before if before.op == "depthwise_conv2d" else _as_depthwise(editor, before)
    inner, after = first.inputs[2:], pointwise.inputs[2:]
    return Node(
        "separable_conv2d",
        (*first.inputs[:2], pointwise.inputs[1], *inner, *after),
        pointwise.outputs,
        (*before.layers, *pointwise.layers),
        first.attrs,
        rename_arguments(pointwise.epilogue, lambda index: Arg(index + 1 + len(inner))),
        inner=rename_arguments(first.epilogue, lambda index: Arg(index + 1)),
    )


def _as_depthwise(editor: Editor, node: Node) -> Node:
    """An element-wise operator as the epilogue of an identity convolution."""
    name = _map_of(editor.graph, node)
    assert name is not None
    channels = editor.graph.tensor(name).shape[1]
    ones = editor.constant("ones", np.ones((channels, 1, 1, 1), np.float32))
    others = tuple(other for other in node.inputs if other != name)

    def renamed(index: int) -> Expr:
        return ACC if node.inputs[index] == name else Arg(2 + others.index(node.inputs[index]))

    attrs: dict[str, Attr] = {"strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0), "groups": channels}
    epilogue = rename_arguments(node.epilogue, renamed)
    return replace(node, op="depthwise_conv2d", inputs=(name, ones, *others), attrs=attrs, epilogue=epilogue)
