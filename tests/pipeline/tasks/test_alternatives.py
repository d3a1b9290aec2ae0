"""Kernels that a graph can be cut into in two ways: the records decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tvmopt.pipeline.graph.optimize import OptimizedModel
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.tasks.alternatives import optimize_measured, tasks_of_all_ways
from tvmopt.pipeline.types import ImportedModel
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import parse_target

# A map of 24 × 12 × 12 elements leaves this cache.
TARGET = replace(parse_target("llvm", 2), l2_bytes=16 * 1024)
APART, JOINED = ["relayout", "depthwise_conv2d", "conv2d", "relayout"], ["relayout", "separable_conv2d", "relayout"]

FASTER_JOINED = {"depthwise_conv2d": 1e-5, "conv2d": 2e-5, "separable_conv2d": 2.5e-5}


@pytest.fixture
def model(model_from: Callable[..., ImportedModel], weights: Any) -> ImportedModel:
    nodes = [("Conv", "x d", "m", {"pads": [1, 1, 1, 1], "group": 24}), ("Relu", "m", "r"), ("Conv", "r p", "y")]
    constants = {"d": weights(24, 1, 3, 3), "p": weights(20, 24, 1, 1)}
    return model_from({"nodes": nodes, "inputs": {"x": (1, 24, 12, 12)}, "constants": constants})


def operators(optimized: OptimizedModel) -> list[str]:
    return [node.op for node in optimized.graph.nodes]


def store_of(folder: Path, model: ImportedModel, latencies_s: dict[str, float]) -> RecordStore:
    """Records of the model's tasks by operator, each with the default config and a latency."""
    store = RecordStore(folder, "model")
    for task in tasks_of_all_ways(model, TARGET):
        if task.workload.op in latencies_s:
            config = template_for(task.workload, TARGET).default(task.workload, TARGET)
            store.append(tiny.record(task, TARGET, config, latencies_s[task.workload.op]))
    return store


@pytest.mark.parametrize(
    ("latencies_s", "expected"),
    [
        (FASTER_JOINED, JOINED),
        ({"depthwise_conv2d": 1e-5, "conv2d": 2e-5, "separable_conv2d": 2.9e-5}, APART),
        ({"depthwise_conv2d": 1e-5, "conv2d": 2e-5, "separable_conv2d": 3.5e-5}, APART),
        ({"conv2d": 2e-5, "separable_conv2d": 1e-5}, APART),
        ({"depthwise_conv2d": 1e-5, "conv2d": 2e-5}, APART),
        ({}, APART),
    ],
)
def test_the_faster_way_by_records_of_both(
    model: ImportedModel, tmp_path: Path, latencies_s: dict[str, float], expected: list[str]
) -> None:
    assert operators(optimize_measured(model, TARGET, store_of(tmp_path, model, latencies_s))) == expected


@pytest.mark.parametrize(("inside", "expected"), [({"separable_conv2d"}, APART), (set(FASTER_JOINED), JOINED)])
def test_times_inside_a_model_are_not_compared_with_times_alone(
    model: ImportedModel, tmp_path: Path, inside: set[str], expected: list[str]
) -> None:
    store = store_of(tmp_path, model, FASTER_JOINED)
    for record in store.records():
        if record.workload.op in inside:
            store.append(replace(record, in_model=True))
    assert operators(optimize_measured(model, TARGET, store)) == expected


def test_without_records_kernels_stay_apart(model: ImportedModel) -> None:
    assert operators(optimize_measured(model, TARGET, None)) == APART


def test_there_are_tasks_for_both_ways(model: ImportedModel) -> None:
    tasks = tasks_of_all_ways(model, TARGET)
    assert {task.workload.op: task.alternative for task in tasks if task.workload.op != "relayout"} == {
        "depthwise_conv2d": False,
        "conv2d": False,
        "separable_conv2d": True,
    }
    assert len({task.name for task in tasks}) == len(tasks)


def test_a_model_without_such_a_choice_has_no_alternatives() -> None:
    assert not any(task.alternative for task in tasks_of_all_ways(tiny.load(), TARGET))
