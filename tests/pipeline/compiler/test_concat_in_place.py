"""Concatenation in place: which copies are dropped, where the parts are, and that nothing else changes."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tvmopt.pipeline.artifact.loaded import load_artifact
from tvmopt.pipeline.compiler.arena import plan_arena
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.compiler.concat_in_place import join_in_place, joins_memory
from tvmopt.pipeline.compiler.program import INPUT, WORK, Call, Program, View
from tvmopt.pipeline.importers import load_model
from tvmopt.schedules.target import parse_target
from tvmopt.schedules.workload import Tensor, Workload

JOIN = "concat_1"


def view(buffer: int, channels: int) -> View:
    return View(buffer, 0, (1, channels, 4, 4, 8), "float32")


def program(*calls: tuple[str, list[tuple[int, int]]], outputs: list[tuple[int, int]]) -> Program:
    """Calls by name and (buffer, channel blocks) of their arguments; buffer 0 is the model's input."""
    made = tuple(
        Call(name, tuple(view(*argument) for argument in arguments), tasks=place)
        for place, (name, arguments) in enumerate(calls)
    )
    count = 1 + max(argument.buffer for call in made for argument in call.arguments)
    places = (INPUT, *[WORK] * (count - 1))
    return Program(made, places, (view(0, 1),), tuple(view(*output) for output in outputs), {})


def joins(before: Program) -> set[int]:
    """Positions of the calls of `JOIN`."""
    return {place for place, call in enumerate(before.calls) if call.kernel == JOIN}


def test_parts_are_computed_inside_the_whole() -> None:
    before = program(
        ("a", [(0, 1), (1, 2)]), ("b", [(0, 1), (2, 3)]), (JOIN, [(1, 2), (2, 3), (3, 5)]), ("c", [(3, 5), (4, 1)]),
        outputs=[(4, 1)],
    )  # fmt: skip
    joined = join_in_place(before, joins(before))
    a, b, c = joined.program.calls
    assert (a.arguments[1].buffer, a.arguments[1].offset) == (3, 0)
    assert (b.arguments[1].buffer, b.arguments[1].offset) == (3, view(0, 2).nbytes)
    assert c == before.calls[3]
    assert [call.tasks for call in (a, b, c)] == [0, 1, 3]
    assert joined.dropped == {2: 1}
    assert plan_arena(joined.program).nbytes < plan_arena(before).nbytes


def test_nested_concats_are_joined() -> None:
    nested = program(
        ("a", [(0, 1), (1, 1)]), ("b", [(0, 1), (2, 1)]), (JOIN, [(1, 1), (2, 1), (3, 2)]),
        ("c", [(3, 2), (4, 1)]), (JOIN, [(3, 2), (4, 1), (5, 3)]), outputs=[(5, 3)],
    )  # fmt: skip
    joined = join_in_place(nested, joins(nested))
    assert [call.kernel for call in joined.program.calls] == ["a", "b", "c"]
    places = [(call.arguments[-1].buffer, call.arguments[-1].offset) for call in joined.program.calls]
    assert places == [(5, 0), (5, view(0, 1).nbytes), (5, view(0, 2).nbytes)]
    assert joined.dropped == {2: 1, 4: 3}


def test_parts_of_several_wholes_with_a_common_start() -> None:
    """As in a dense block: each layer reads all earlier maps."""
    dense = program(
        ("a", [(0, 1), (1, 1)]), ("b", [(1, 1), (2, 1)]), (JOIN, [(1, 1), (2, 1), (3, 2)]),
        ("c", [(3, 2), (4, 1)]), (JOIN, [(1, 1), (2, 1), (4, 1), (5, 3)]), ("d", [(5, 3), (6, 1)]), outputs=[(6, 1)],
    )  # fmt: skip
    joined = join_in_place(dense, joins(dense))
    assert [call.kernel for call in joined.program.calls] == ["a", "b", "c", "d"]
    assert {argument.buffer for call in joined.program.calls for argument in call.arguments} == {0, 5, 6}


@pytest.mark.parametrize(
    "parts",
    [
        [(0, 1), (1, 1)],  # the caller places the model's input
        [(1, 1), (1, 1)],  # one map, twice
    ],
)
def test_parts_that_must_be_copied(parts: list[tuple[int, int]]) -> None:
    before = program(("a", [(0, 1), (1, 1)]), (JOIN, [*parts, (2, 2)]), outputs=[(2, 2)])
    joined = join_in_place(before, joins(before))
    assert joined.program == before
    assert joined.dropped == {}


def test_a_part_of_two_different_wholes_is_copied_once() -> None:
    before = program(
        ("a", [(0, 1), (1, 1)]), ("b", [(0, 1), (2, 1)]),
        (JOIN, [(1, 1), (2, 1), (3, 2)]), (JOIN, [(2, 1), (1, 1), (4, 2)]), outputs=[(3, 2), (4, 2)],
    )  # fmt: skip
    joined = join_in_place(before, joins(before))
    assert [call.kernel for call in joined.program.calls] == ["a", "b", JOIN]


BLOCKED = Tensor((1, 16, 4, 4), block=8)
BYTES = Tensor((1, 32, 4, 4), "uint8", 16, fill=128)
FRAMED = replace(BYTES, halo=(1, 1, 1, 1))


@pytest.mark.parametrize(
    ("parts", "whole", "does"),
    [
        ([BLOCKED, BLOCKED], Tensor((1, 32, 4, 4), block=8), True),
        ([BLOCKED, Tensor((1, 3, 4, 4), block=8)], Tensor((1, 19, 4, 4), block=8), True),
        ([Tensor((1, 3, 4, 4), block=8), BLOCKED], Tensor((1, 19, 4, 4), block=8), False),
        ([BLOCKED, BLOCKED], Tensor((1, 32, 4, 4), block=8, halo=(1, 1, 1, 1)), False),
        ([Tensor((2, 16, 4, 4), block=8)] * 2, Tensor((2, 32, 4, 4), block=8), False),
        ([FRAMED, FRAMED], replace(FRAMED, shape=(1, 64, 4, 4)), True),
        ([FRAMED, replace(FRAMED, fill=0)], replace(FRAMED, shape=(1, 64, 4, 4)), False),
        ([BYTES, replace(BYTES, fill=0)], replace(BYTES, shape=(1, 64, 4, 4)), True),
    ],
)
def test_parts_that_already_lie_in_place(parts: list[Tensor], whole: Tensor, does: bool) -> None:
    assert joins_memory(Workload("concat", tuple(parts), whole)) is does


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(3))
def test_random_dense_blocks_compute_the_same(tmp_path: Path, seed: int) -> None:
    """Convolutions that read random concatenations of earlier results, against onnxruntime."""
    random_ = random.Random(seed)
    generator = np.random.default_rng(seed)
    nodes, weights, made = [], {}, {"x": 16}
    for i in range(8):
        parts = random_.sample(list(made), min(len(made), random_.randint(1, 3)))
        channels = sum(made[part] for part in parts)
        source = parts[0]
        if len(parts) > 1:
            source = f"cat_{i}"
            nodes.append(helper.make_node("Concat", parts, [source], f"Cat_{i}", axis=1))
            if random_.random() < 0.5:
                made[source] = channels
        count, kernel = random_.choice([8, 16, 32]), random_.choice([1, 3])
        weights[f"w_{i}"] = generator.standard_normal((count, channels, kernel, kernel)).astype(np.float32) / channels
        pads = [kernel // 2] * 4
        nodes.append(helper.make_node("Conv", [source, f"w_{i}"], [f"conv_{i}"], f"Conv_{i}", pads=pads))
        made[f"conv_{i}"] = count
    nodes.append(helper.make_node("Concat", [f"conv_{i}" for i in range(8)], ["y"], "Cat_y", axis=1))
    width = sum(made[f"conv_{i}"] for i in range(8))
    shapes = {"x": (1, 16, 6, 5), "y": (1, width, 6, 5)}
    infos = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "dense", infos[:1], infos[1:], constants)
    made_from = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(made_from, tmp_path / "dense.onnx")
    model = load_model(str(tmp_path / "dense.onnx"))
    compile_model(model, parse_target("llvm", 1), None, tmp_path / "model.tar")
    artifact = load_artifact(tmp_path / "model.tar")
    result = artifact.run(artifact.golden_inputs)["y"]
    np.testing.assert_allclose(result, artifact.golden_outputs["y"], rtol=1e-4, atol=1e-4)
