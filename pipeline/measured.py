"""Where a graph can be cut into kernels in two ways, measuring decides: there are tasks for both, and records of both.

Today that is a depthwise convolution with the 1×1 convolution behind it (`pipeline.graph.fuse_separable`).
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.graph.fuse_separable import join_all, separable_pairs
from pipeline.graph.ir import Graph, Node
from pipeline.graph.optimize import OptimizedModel, optimize
from pipeline.lookup import Records
from pipeline.records import CLEARLY, Record
from pipeline.tasks import extract_tasks, workload_of
from pipeline.types import ImportedModel, Task
from schedules.registry import template_for
from schedules.target import Target


def optimize_measured(model: ImportedModel, target: Target, records: Records | None) -> OptimizedModel:
    """`model` optimised, each pair of kernels joined where the records know both ways and joined is clearly faster.

    Raises:
        UnsupportedModelError: as `optimize`.
    """
    apart = optimize(model, target)
    if records is None or not _has_choice(apart):
        return apart
    joined = optimize(model, target, join_all)
    faster = {node.output for node in joined.graph.nodes if _joined_is_faster(node, apart.graph, joined, records)}
    return optimize(model, target, faster.__contains__) if faster else apart


def optimize_all_ways(model: ImportedModel, target: Target) -> tuple[OptimizedModel, ...]:
    """`model` optimised with its kernels apart, and, where some can be joined, with all of these joined.

    Raises:
        UnsupportedModelError: as `optimize`.
    """
    apart = optimize(model, target)
    return (apart, optimize(model, target, join_all)) if _has_choice(apart) else (apart,)


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


def _has_choice(apart: OptimizedModel) -> bool:
    return not apart.target.is_gpu and next(separable_pairs(apart.graph, apart.target), None) is not None


def _joined_is_faster(node: Node, apart: Graph, joined: OptimizedModel, records: Records) -> bool:
    if node.op != "separable_conv2d":
        return False
    producers = apart.producers()
    second = producers[node.output]
    first = producers[second.inputs[0]]
    together = _best(node, joined.graph, joined.target, records)
    one_by_one = [_best(part, apart, joined.target, records) for part in (first, second)]
    known = [record for record in (together, *one_by_one) if record is not None and record.median_s is not None]
    # What was timed inside the model is not compared with what was timed alone.
    if len(known) < 3 or len({record.in_model for record in known}) > 1:
        return False
    latency_s, *parts_s = [record.median_s or 0.0 for record in known]
    return latency_s * CLEARLY < sum(parts_s)


def _best(node: Node, graph: Graph, target: Target, records: Records) -> Record | None:
    """The kernel's best record; None without one that can be applied."""
    workload = workload_of(graph, node)
    template = template_for(workload, target)
    default = template.default(workload, target)
    record = records.best(workload.key, target.key, template.name, template.version, default)
    if record is None or not template.space(workload, target).contains(record.config):
        return None
    return record
