"""Slices in place: which copies are dropped, and that networks with them compute the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.artifact.loaded import load_artifact
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.compiler.program import INPUT, WORK, Call, Program, View
from tvmopt.pipeline.compiler.slice_in_place import slice_in_place, slice_offset
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.schedules.target import parse_target
from tvmopt.schedules.workload import Tensor, Workload


def view(buffer: int, rows: int) -> View:
    return View(buffer, 0, (rows, 16), "float32")


def program(*calls: list[View], output: View) -> Program:
    made = tuple(Call(f"k{place}", tuple(arguments), 0) for place, arguments in enumerate(calls))
    count = 1 + max(argument.buffer for call in made for argument in call.arguments)
    return Program(made, (INPUT, *[WORK] * (count - 1)), (view(0, 8),), (output,), {})


def test_readers_of_a_slice_read_its_source() -> None:
    before = program(
        [view(0, 8), view(1, 8)], [view(1, 8), view(2, 4)], [view(2, 4), view(3, 2)], [view(3, 2), view(4, 2)],
        output=view(4, 2),
    )  # fmt: skip
    sliced = slice_in_place(before, {1: 128, 2: 64})
    first, last = sliced.program.calls
    assert first == before.calls[0]
    assert last.arguments == (View(1, 192, (2, 16), "float32"), view(4, 2))
    assert sliced.dropped == {1: 0, 2: 0}


def test_slices_of_inputs_and_slices_that_are_outputs_stay() -> None:
    before = program([view(0, 8), view(1, 4)], [view(1, 4), view(2, 2)], output=view(2, 2))
    sliced = slice_in_place(before, {0: 64, 1: 64})
    assert sliced.program == before
    assert sliced.dropped == {}


@pytest.mark.parametrize(("first", "offset"), [(0, 0), (2, 128), (1, 64)])
def test_where_a_slice_begins(first: int, offset: int) -> None:
    attrs = (("offset", 16 * first), ("sizes", (3, 16)), ("strides", (16, 1)))
    assert slice_offset(Workload("copy", (Tensor((8, 16)),), Tensor((3, 16)), attrs)) == offset


@pytest.mark.parametrize(("offset", "strides"), [(3, (16, 1)), (0, (1, 16)), (0, (32, 1))])
def test_copies_that_move_something_stay(offset: int, strides: Any) -> None:
    attrs = (("offset", offset), ("sizes", (3, 16)), ("strides", strides))
    assert slice_offset(Workload("copy", (Tensor((8, 16)),), Tensor((3, 16)), attrs)) is None


@pytest.mark.parametrize("columns", [16, 5])
def test_a_network_of_slices(onnx_model: Any, weights: Any, tmp_path: Path, columns: int) -> None:
    """Parts of parts, joined again; with 5 columns no part begins on a cache line."""
    model = onnx_model(
        ("Relu", "x", "r"),
        ("Split", "r", "a b c", {"axis": 0, "num_outputs": 3}),
        ("Split", "b", "d e", {"axis": 0, "num_outputs": 2}),
        ("Sigmoid", "e", "s"),
        ("MatMul", "c w", "m"),
        ("Concat", "s m a", "y", {"axis": 0}),
        ("Tanh", "c", "z"),
        inputs={"x": (12, columns)},
        outputs="y z d",
        w=weights(columns, columns),
    )
    path = tmp_path / "slices.onnx"
    path.write_bytes(model.SerializeToString())
    compile_model(load_model(str(path)), parse_target("llvm", 2), None, tmp_path / "slices.tar")
    inputs = {"x": np.random.default_rng(0).standard_normal((12, columns)).astype(np.float32)}
    results = load_artifact(tmp_path / "slices.tar").run(inputs)
    for name, expected in run_model(model, inputs).items():
        np.testing.assert_allclose(results[name], expected, rtol=1e-5, atol=1e-6)
