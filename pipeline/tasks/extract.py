"""The distinct kernels of an optimised model, as tasks."""

from __future__ import annotations

from dataclasses import replace

from tvmopt.pipeline.graph.optimize import OptimizedModel
from tvmopt.pipeline.tasks.bind import bind
from tvmopt.pipeline.types import Task


def extract_tasks(optimized: OptimizedModel) -> tuple[Task, ...]:
    """The distinct kernels of a model, each with its weight and layers.

    Args:
        optimized: a model whose graph was recognised, fused and laid out for a target; it is bound here if it is not
            yet.

    Returns:
        One task for each distinct workload, in the order in which they first run.
    """
    found: dict[str, Task] = {}
    streamed = sum(array.nbytes for array in optimized.graph.constants.values())
    for node, workload in bind(optimized).workloads():
        known = found.get(workload.key)
        layers = (node.layers[0],)
        if known is None:
            found[workload.key] = Task(workload.key, workload, 1, layers, streamed)
        else:
            found[workload.key] = replace(known, weight=known.weight + 1, layers=known.layers + layers)
    return tuple(found.values())
