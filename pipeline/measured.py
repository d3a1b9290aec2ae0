"""Where a graph can be cut into kernels in two ways, measuring decides: there are tasks for both, and records of both.

Today that is a depthwise convolution with the 1×1 convolution behind it (`pipeline.graph.fuse_separable`).
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.graph.fuse_separable import join_all, separable_pairs
from pipeline.graph.ir import Graph, Node
from pipeline.graph.optimize import OptimizedModel, optimize
from pipeline.lookup import Records
from pipeline.tasks import extract_tasks, workload_of
from pipeline.types import ImportedModel, Task
from schedules.registry import template_for
from schedules.target import Target


def optimize_measured(model: ImportedModel, target: Target, records: Records | None) -> OptimizedModel:
    """`model` optimised, each pair of kernels joined where the records know both ways and joined is faster.

    Raises:
        UnsupportedModelError: as `optimize`.
    """
    apart = optimize(model, target)
    if records is None or not _has_choice(apart):
        return apart
    joined = optimize(model, target, join_all)
    faster = {node.output for node in joined.graph.nodes if _joined_is_faster(node, apart.graph, joined, records)}
    return optimize(model, target, faster.__contains__) if faster else apart


def tasks_of_all_ways(model: ImportedModel, target: Target) -> tuple[Task, ...]:
    """The tasks of `model`, and behind them, as alternatives, those of kernels that it could be cut into instead.

    Raises:
        UnsupportedModelError: as `optimize`.
    """
    apart = optimize(model, target)
    tasks = extract_tasks(apart)
    if not _has_choice(apart):
        return tasks
    known = {task.name for task in tasks}
    others = [task for task in extract_tasks(optimize(model, target, join_all)) if task.name not in known]
    return (*tasks, *(replace(task, alternative=True) for task in others))


def _has_choice(apart: OptimizedModel) -> bool:
    return not apart.target.is_gpu and next(separable_pairs(apart.graph, apart.target), None) is not None


def _joined_is_faster(node: Node, apart: Graph, joined: OptimizedModel, records: Records) -> bool:
    if node.op != "separable_conv2d":
        return False
    producers = apart.producers()
    second = producers[node.output]
    first = producers[second.inputs[0]]
    together = _latency_s(node, joined.graph, joined.target, records)
    one_by_one = [_latency_s(part, apart, joined.target, records) for part in (first, second)]
    if together is None or None in one_by_one:
        return False
    return together < sum(latency for latency in one_by_one if latency is not None)


def _latency_s(node: Node, graph: Graph, target: Target, records: Records) -> float | None:
    """The median latency of the kernel's best record, in seconds; None without one that can be applied."""
    workload = workload_of(graph, node)
    template = template_for(workload, target)
    record = records.best(workload.key, target.key, template.name, template.version)
    if record is None or not template.space(workload, target).contains(record.config):
        return None
    return record.median_s
