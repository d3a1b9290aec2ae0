"""The layers that a kernel call of a compiled model stands for, and its outputs, for the artifact's manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tvmopt.pipeline.graph.ir import Graph, Node
from tvmopt.pipeline.types import Step
from tvmopt.schedules.registry import BoundKernel


def own_step(graph: Graph, node: Node, kernel: BoundKernel | None, symbol: str) -> Step:
    """The step of a node with a template, or of a check, which has no `kernel`."""
    outputs = ((node.output, graph.values[node.output]),)
    task, flops = ("", 0) if kernel is None else (kernel.key, kernel.flops)
    return Step(symbol, node.op, node.layers, outputs, task, flops, _bytes(graph, [node]))


def imported_step(graph: Graph, symbol: str, *nodes: Node, alone: bool) -> Step:
    """The step of a kernel that TVM made from `nodes`; a layer that became a view or a constant has none.

    Args:
        graph: the nodes' graph.
        symbol: the kernel's.
        nodes: the layers that it stands for.
        alone: whether it is the only kernel of its layer, so that its result is the layer's.
    """
    layers = tuple(dict.fromkeys(layer for node in nodes for layer in node.layers))
    outputs = tuple((name, graph.values[name]) for name in nodes[0].outputs) if alone else ()
    return Step(symbol, "+".join(node.kind for node in nodes), layers, outputs, "", 0, _bytes(graph, nodes))


def _bytes(graph: Graph, nodes: Sequence[Node]) -> int:
    names = dict.fromkeys(name for node in nodes for name in (*node.inputs, *node.outputs) if name)
    # A constant without elements is no tensor: it stands for an absent operand.
    return sum(graph.constants[n].nbytes if n in graph.constants else graph.tensor(n).nbytes for n in names)


def without_dropped(steps: Sequence[Step], dropped: Mapping[int, int]) -> tuple[Step, ...]:
    """`steps` without the calls that are not needed; their layers go to the step that makes their (last) input.

    Args:
        steps: the steps of all calls.
        dropped: as in `pipeline.compiler.concat_in_place.Joined`.
    """
    layers = {place: list(step.layers) for place, step in enumerate(steps)}
    for place, maker in sorted(dropped.items(), reverse=True):
        layers[maker] += layers[place]
    return tuple(replace(step, layers=tuple(layers[place])) for place, step in enumerate(steps) if place not in dropped)
