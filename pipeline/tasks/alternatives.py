"""Where a graph can be cut into kernels in two ways, measuring decides: there are tasks for both, and records of both.

Today that is a depthwise convolution with the 1×1 convolution behind it (`pipeline.graph.passes.fuse_separable`).
"""

from __future__ import annotations

from dataclasses import replace

from tvmopt.pipeline.graph.ir import Graph, Node
from tvmopt.pipeline.graph.optimize import optimize
from tvmopt.pipeline.graph.passes.fuse_separable import join_all, separable_pairs
from tvmopt.pipeline.records.lookup import Records, applicable
from tvmopt.pipeline.records.ranking import CLEARLY
from tvmopt.pipeline.records.record import Record
from tvmopt.pipeline.tasks.bind import BoundModel, bind
from tvmopt.pipeline.tasks.extract import extract_tasks
from tvmopt.pipeline.tasks.workloads import workload_of
from tvmopt.pipeline.types import ImportedModel, Task
from tvmopt.schedules.registry import kernel_for
from tvmopt.schedules.target import Target


def optimize_measured(model: ImportedModel, target: Target, records: Records | None) -> BoundModel:
    """`model` optimised and bound, each pair of kernels joined where the records know both ways and joined is clearly faster.

    Raises:
        UnsupportedModelError: as `optimize`.
    """
    if records is None:
        return bind(optimize(model, target))
    apart, *others = optimize_all_ways(model, target)
    if not others:
        return apart
    (joined,) = others
    faster = {node.output for node in joined.graph.nodes if _joined_is_faster(node, apart.graph, joined, records)}
    return bind(optimize(model, target, faster.__contains__)) if faster else apart


def optimize_all_ways(model: ImportedModel, target: Target) -> tuple[BoundModel, ...]:
    """`model` optimised with its kernels apart, and, where some can be joined, with all of these joined.

    Raises:
        UnsupportedModelError: as `optimize`.
    """
    apart = bind(optimize(model, target))
    if next(separable_pairs(apart.graph, target), None) is None:
        return (apart,)
    return (apart, bind(optimize(model, target, join_all)))


def tasks_of_all_ways(model: ImportedModel, target: Target) -> tuple[Task, ...]:
    """The tasks of `model`, and behind them, as alternatives, those of kernels that it could be cut into instead.

    Raises:
        UnsupportedModelError: as `optimize`.
    """
    apart, *others = optimize_all_ways(model, target)
    tasks = {task.name: task for task in extract_tasks(apart)}
    for joined in others:
        for task in extract_tasks(joined):
            tasks.setdefault(task.name, replace(task, alternative=True))
    return tuple(tasks.values())


def _joined_is_faster(node: Node, apart: Graph, joined: BoundModel, records: Records) -> bool:
    if node.op != "separable_conv2d":
        return False
    producers = apart.producers()
    second = producers[node.output]
    first = producers[second.inputs[0]]
    found = [
        _record_of(*part, joined.target, records) for part in ((node, joined.graph), (first, apart), (second, apart))
    ]
    known = [record for record in found if record is not None]
    # What was timed inside the model is not compared with what was timed alone.
    if len(known) < len(found) or len({record.in_model for record in known}) > 1:
        return False
    together_s, *apart_s = (record.median_s or 0.0 for record in known)
    return together_s * CLEARLY < sum(apart_s)


def _record_of(node: Node, graph: Graph, target: Target, records: Records) -> Record | None:
    return applicable(records, kernel_for(workload_of(graph, node), target))
