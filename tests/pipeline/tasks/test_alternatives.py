"""Parts of a graph that can be compiled in several ways: the records decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from tvmopt.pipeline.graph.ir import Editor, Graph, Node, Origin
from tvmopt.pipeline.graph.optimize import ALTERNATIVES, OptimizedModel
from tvmopt.pipeline.graph.pieces import Alternative, Piece, Takes
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.tasks.alternatives import (
    optimize_all_ways,
    optimize_measured,
    origins_of_all_ways,
    tasks_of_all_ways,
)
from tvmopt.pipeline.types import ImportedModel, Task
from tvmopt.schedules.registry import kernel_for
from tvmopt.schedules.target import Target, parse_target

# A map of 24 × 12 × 12 elements exceeds this cache.
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
            config = kernel_for(task.workload, TARGET).default
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


def widen(graph: Graph, target: Target, takes: Takes) -> Graph:
    """Turns depthwise convolutions before a 1×1 convolution into dense ones, whose weights are mostly 0."""
    readers = {node.inputs[0]: node for node in graph.nodes if node.op == "conv2d"}
    editor = Editor(graph)
    for node in graph.nodes:
        reader = readers.get(node.output) if node.op == "depthwise_conv2d" else None
        values = (node.output, reader.output) if reader is not None else ()
        editor.add(_widened(editor, node) if values and takes(Piece(values, values)) else node)
    return editor.graph_of()


def _widened(editor: Editor, node: Node) -> Node:
    narrow = editor.constants[node.inputs[1]]
    wide = np.eye(len(narrow), dtype=np.float32)[:, :, None, None] * narrow
    name = editor.constant("wide", wide)
    attrs = {**node.attrs, "groups": 1}
    return replace(node, op="conv2d", inputs=(node.inputs[0], name, *node.inputs[2:]), attrs=attrs)


THREE = (*ALTERNATIVES, Alternative("widen", widen))
WIDENED = ["relayout", "conv2d", "conv2d", "relayout"]
# Keyed by operator and kernel size; the 1×1 convolution is in two of the ways.
ALL_S = {"depthwise_conv2d 3": 1e-5, "separable_conv2d 3": 3e-5, "conv2d 3": 1e-5, "conv2d 1": 2e-5}


def kind_of(task: Task) -> str:
    return f"{task.workload.op} {task.workload.inputs[1].shape[2]}" if len(task.workload.inputs) > 1 else ""


def store_of_three(folder: Path, model: ImportedModel, latencies_s: dict[str, float]) -> RecordStore:
    """Like `store_of`, for `THREE` and keyed by operator and kernel size."""
    store = RecordStore(folder, "model")
    for task in tasks_of_all_ways(model, TARGET, THREE):
        if kind_of(task) in latencies_s:
            config = kernel_for(task.workload, TARGET).default
            store.append(tiny.record(task, TARGET, config, latencies_s[kind_of(task)]))
    return store


@pytest.mark.parametrize(
    ("latencies_s", "expected"),
    [
        (ALL_S, APART),
        ({**ALL_S, "depthwise_conv2d 3": 2e-6}, APART),
        ({**ALL_S, "separable_conv2d 3": 2e-5}, JOINED),
        ({**ALL_S, "conv2d 3": 5e-6}, WIDENED),
        # Two are faster than the original piece; the faster of them is chosen, whatever their order.
        ({**ALL_S, "separable_conv2d 3": 2.4e-5, "conv2d 3": 5e-6}, JOINED),
        ({**ALL_S, "separable_conv2d 3": 2.6e-5, "conv2d 3": 5e-6}, WIDENED),
    ],
)
def test_the_fastest_of_three_ways(
    model: ImportedModel, tmp_path: Path, latencies_s: dict[str, float], expected: list[str]
) -> None:
    store = store_of_three(tmp_path, model, latencies_s)
    assert operators(optimize_measured(model, TARGET, store, THREE)) == expected
    assert operators(optimize_measured(model, TARGET, store, THREE[::-1])) == expected


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        # A way without a record cannot be chosen; the others can.
        ("separable_conv2d 3", WIDENED),
        ("conv2d 3", JOINED),
        # Nothing can be compared with a piece whose time is unknown.
        ("depthwise_conv2d 3", APART),
        ("conv2d 1", APART),
    ],
)
def test_a_way_without_a_record(model: ImportedModel, tmp_path: Path, missing: str, expected: list[str]) -> None:
    latencies_s = {**ALL_S, "separable_conv2d 3": 1e-5, "conv2d 3": 1e-6}
    assert operators(optimize_measured(model, TARGET, store_of_three(tmp_path, model, latencies_s), THREE)) == JOINED
    del latencies_s[missing]
    store = store_of_three(tmp_path / "less", model, latencies_s)
    assert operators(optimize_measured(model, TARGET, store, THREE)) == expected


def test_every_way_is_made_once(model: ImportedModel) -> None:
    ways = optimize_all_ways(model, TARGET, THREE)
    assert [(way.name, operators(way.model)) for way in ways] == [
        ("", APART),
        ("separable", JOINED),
        ("widen", WIDENED),
    ]
    assert [len(way.pieces) for way in ways] == [0, 1, 1]
    assert len({piece.output for way in ways for piece in way.pieces}) == 1
    tasks = tasks_of_all_ways(model, TARGET, THREE)
    assert {kind_of(task): task.alternative for task in tasks if kind_of(task)} == {
        "depthwise_conv2d 3": False,
        "conv2d 1": False,
        "separable_conv2d 3": True,
        "conv2d 3": True,
    }


def test_a_piece_keeps_its_result() -> None:
    assert Piece(("a", "b"), ("b",)).output == "b"
    with pytest.raises(ValueError, match="a piece keeps its result's name, got 'b' and 'c'"):
        Piece(("a", "b"), ("c",))


def test_origins_whichever_way_is_taken(model: ImportedModel) -> None:
    ways = optimize_all_ways(model, TARGET)
    copies = {node.output: node.inputs[0] for way in ways for node in way.model.graph.nodes if node.op == "relayout"}
    assert origins_of_all_ways(model, TARGET) == {name: Origin(value, "layout") for name, value in copies.items()}
