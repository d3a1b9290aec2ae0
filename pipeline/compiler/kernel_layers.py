"""Which layers each kernel call of a compiled model stands for, and what it makes; the artifact's manifest lists it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tvmopt.pipeline.compiler.concat_in_place import joins_memory
from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.graph.ir import ONNX, Graph, Node
from tvmopt.pipeline.graph.optimize import OptimizedModel
from tvmopt.pipeline.tasks.extract import KERNELLESS, workload_of
from tvmopt.pipeline.types import Step
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target


def steps_of(optimized: OptimizedModel, kernels: Sequence[str]) -> tuple[Step, ...]:
    """The kernel calls of a compiled module, each with the nodes of `optimized` that it computes.

    Kernels of templates are told by their names and stand in the graph's order. What TVM made of other layers stands
    between them: one kernel a layer where the numbers agree, else each kernel stands for all of these layers.

    Args:
        optimized: the graph that was compiled.
        kernels: names of the kernels that the module calls, in order.

    Raises:
        BuildError: when the module runs other kernels than the graph asks for.
    """
    graph, target = optimized.graph, optimized.target
    own = {workload_of(graph, node).key.replace("-", "_") for node in graph.nodes if node.op not in KERNELLESS}
    nodes = [node for node in graph.nodes if node.op != "reshape"]
    steps: list[Step] = []
    others: list[str] = []
    for name in [*kernels, ""]:
        if name and name not in own:
            others.append(name)
            continue
        imported = _take_imported(nodes)
        steps += _imported_steps(graph, imported, others)
        others = []
        if name:
            steps.append(_own_step(graph, target, nodes, name))
    if nodes:
        raise BuildError(f"layer {nodes[0].layers[0]!r} has no kernel in the compiled module")
    return tuple(steps)


def joining_kernels(optimized: OptimizedModel) -> set[str]:
    """Names of the kernels that only join what lies in memory already, if it is made in the right place."""
    workloads = (workload_of(optimized.graph, node) for node in optimized.graph.nodes if node.op == "concat")
    return {workload.key.replace("-", "_") for workload in workloads if joins_memory(workload)}


def without_joins(steps: Sequence[Step], dropped: Mapping[int, int]) -> tuple[Step, ...]:
    """Steps without concatenations that memory does; their layers go to what makes the last of the joined parts.

    Args:
        steps: of all calls.
        dropped: as in `pipeline.compiler.concat_in_place.Joined`.
    """
    layers = {place: list(step.layers) for place, step in enumerate(steps)}
    for place, maker in sorted(dropped.items(), reverse=True):
        layers[maker] += layers[place]
    return tuple(replace(step, layers=tuple(layers[place])) for place, step in enumerate(steps) if place not in dropped)


def _take_imported(nodes: list[Node]) -> list[Node]:
    """Takes the nodes off the front that stand before the next one with a template."""
    count = next((i for i, node in enumerate(nodes) if node.op != ONNX), len(nodes))
    taken, nodes[:] = nodes[:count], nodes[count:]
    return taken


def _own_step(graph: Graph, target: Target, nodes: list[Node], name: str) -> Step:
    """The step of the node in front, which `name` must be the kernel of."""
    if not nodes or workload_of(graph, nodes[0]).key.replace("-", "_") != name:
        raise BuildError(f"the compiled module runs {name} where the graph has {nodes[0].kind if nodes else 'nothing'}")
    node = nodes.pop(0)
    workload = workload_of(graph, node)
    return Step(
        name,
        node.op,
        node.layers,
        ((node.output, graph.values[node.output]),),
        workload.key,
        template_for(workload, target).flops(workload),
        _bytes(graph, [node]),
    )


def _imported_steps(graph: Graph, nodes: Sequence[Node], kernels: Sequence[str]) -> list[Step]:
    """The steps of layers that TVM's importer lowered; a layer that became a view or a constant has none."""
    groups = [[node] for node in nodes] if len(nodes) == len(kernels) else [list(nodes)] * len(kernels)
    steps = []
    for kernel, group in zip(kernels, groups, strict=True):
        layers = tuple(dict.fromkeys(layer for node in group for layer in node.layers))
        named = group[0].outputs if len(group) == 1 and len(kernels) == len(nodes) else ()
        outputs = tuple((name, graph.values[name]) for name in named)
        steps.append(Step(kernel, "+".join(node.kind for node in group), layers, outputs, "", 0, _bytes(graph, group)))
    return steps


def _bytes(graph: Graph, nodes: Sequence[Node]) -> int:
    names = dict.fromkeys(name for node in nodes for name in (*node.inputs, *node.outputs) if name)
    return sum(graph.tensor(name).nbytes for name in names)
