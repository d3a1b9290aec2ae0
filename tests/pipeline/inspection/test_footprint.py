"""Memory: the largest layer, all activations, the planned arena."""

from __future__ import annotations

from pathlib import Path

from tests import tiny
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.graph.optimize import optimize
from tvmopt.pipeline.inspection.costs import model_costs
from tvmopt.pipeline.inspection.footprint import footprint, planned_arena
from tvmopt.pipeline.tasks.bind import bind
from tvmopt.schedules.target import parse_target

NARROW, WIDE = 4 * 8 * 14 * 14, 4 * 16 * 14 * 14
W1, W2 = 4 * 16 * 8 * 9, 4 * 16 * 16


def test_two_convolutions() -> None:
    model = tiny.load()
    memory = footprint(model_costs(model.original, model.normalized), None)
    assert (memory.largest_layer, memory.largest_layer_bytes) == ("Conv_y", 2 * WIDE + W2)
    assert memory.weights_bytes == W1 + W2
    assert memory.activations_bytes == NARROW + 3 * WIDE
    assert memory.largest_bytes == memory.activations_bytes + memory.weights_bytes
    assert memory.arena_bytes is None


def test_views_take_nothing() -> None:
    model = tiny.load("g (float[1,8,14,14] x) => (float[1,1568] y) { a = Relu (x) y = Flatten (a) }")
    memory = footprint(model_costs(model.original, model.normalized), None)
    assert memory.activations_bytes == 2 * NARROW
    assert memory.largest_layer_bytes == 2 * NARROW


def test_the_plan_is_that_of_the_compiled_model(tmp_path: Path) -> None:
    model, target = tiny.load(), parse_target("llvm", 2)
    report = compile_model(model, target, None, tmp_path / "model.tar")
    assert planned_arena(bind(optimize(model, target))) == sum(report.storage_bytes) >= WIDE
