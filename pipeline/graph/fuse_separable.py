"""A depthwise convolution joins the 1×1 convolution that alone reads its result. Returns a new graph.

In one kernel the rows between the two stay in the cache. Whether that is faster depends on the machine, and measuring
decides (`pipeline.measured`). It is worth measuring where the whole map would not stay there:

1. The depthwise map takes more than `MAP_SHARE` of the second-level cache. A smaller one is still there when the 1×1
   convolution reads it, and one kernel takes as long as two.
2. The pointwise weights take less than `WEIGHT_SHARE` of that cache, so that each task, which reads them anew for its
   rows, finds them there.
3. The result has fewer channels than the map. With as many or more, the product takes so long that reading the map
   does not show beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from pipeline.graph.ir import Graph, Node, without_dead_code
from schedules.compute.pointwise import rename_arguments
from schedules.target import Target

MAP_SHARE = 0.5
WEIGHT_SHARE = 0.5

Joins = Callable[[str], bool]
"""Whether the 1×1 convolution that makes a value takes in the depthwise convolution before it."""


def join_none(_: str) -> bool:
    """Leaves all of them apart."""
    return False


def join_all(_: str) -> bool:
    """Joins all that are worth measuring."""
    return True


def fuse_separable(graph: Graph, target: Target, joins: Joins = join_all) -> Graph:
    """Makes one ``separable_conv2d`` of each pair of a ``depthwise_conv2d`` and a ``conv2d`` that `joins` names."""
    fused = {id(node): _fused(before, node) for before, node in separable_pairs(graph, target) if joins(node.output)}
    nodes = tuple(fused.get(id(node), node) for node in graph.nodes)
    # What was fused has no reader any more.
    return without_dead_code(replace(graph, nodes=nodes)) if fused else graph


def separable_pairs(graph: Graph, target: Target) -> Iterator[tuple[Node, Node]]:
    """Pairs of a depthwise and a 1×1 convolution that could be one kernel, where that is worth measuring."""
    uses, producers = graph.uses(), graph.producers()
    for node in graph.nodes:
        before = producers.get(node.inputs[0]) if node.op == "conv2d" else None
        if before is None or uses[node.inputs[0]] != 1:
            continue
        if _fits(graph, before, node) and pays(graph, before, node, target):
            yield before, node


def pays(graph: Graph, depthwise: Node, pointwise: Node, target: Target) -> bool:
    """Whether it is worth measuring: the map leaves the cache, the weights stay there, the result is narrower."""
    made, weight = graph.tensor(depthwise.output), graph.tensor(pointwise.inputs[1])
    far = made.nbytes // made.shape[0] > MAP_SHARE * target.l2_bytes
    near = weight.nbytes < WEIGHT_SHARE * target.l2_bytes
    return far and near and weight.shape[0] < weight.shape[1]


def _fits(graph: Graph, depthwise: Node, pointwise: Node) -> bool:
    """Whether one kernel can compute both: each pixel of the second is made of one of the first."""
    if depthwise.op != "depthwise_conv2d" or pointwise.attrs["groups"] != 1:
        return False
    if graph.tensor(pointwise.inputs[1]).shape[2:] != (1, 1):
        return False
    if pointwise.attrs["strides"] != (1, 1) or any(_pads(pointwise)):
        return False
    names = (*depthwise.inputs, *pointwise.inputs)
    known = all(name in graph.constants for name in depthwise.inputs[2:])
    return known and all(graph.tensor(name).dtype == "float32" for name in names)


def _pads(node: Node) -> tuple[int, ...]:
    pads = node.attrs["pads"]
    assert isinstance(pads, tuple)
    return pads


def _fused(depthwise: Node, pointwise: Node) -> Node:
    """The node of both; operands of the depthwise epilogue stand before those of the other."""
    before, after = depthwise.inputs[2:], pointwise.inputs[2:]
    return Node(
        "separable_conv2d",
        (*depthwise.inputs[:2], pointwise.inputs[1], *before, *after),
        pointwise.outputs,
        (*depthwise.layers, *pointwise.layers),
        depthwise.attrs,
        rename_arguments(pointwise.epilogue, lambda index: ("arg", index + 1 + len(before))),
        inner=rename_arguments(depthwise.epilogue, lambda index: ("arg", index + 1)),
    )
