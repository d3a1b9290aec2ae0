"""Indices that a caller gives: right at both ends, an error that names the layer beyond, never foreign memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tvm.relax.frontend.onnx import from_onnx

from tests.pipeline.values.compiled import Compiled
from tvmopt.pipeline.artifact.format import read_parts
from tvmopt.pipeline.artifact.virtual_machine import VirtualMachine
from tvmopt.pipeline.compiler import build
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.compiler.guarded_onnx import guarded_onnx
from tvmopt.pipeline.errors import ModelInputError, UnsupportedModelError
from tvmopt.pipeline.graph.guard_indices import guard_indices
from tvmopt.pipeline.graph.read_onnx import read_onnx
from tvmopt.pipeline.graph.recognize import selection
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.schedules.target import parse_target

LOWEST = np.iinfo(np.int64).min
TABLE = np.arange(15, dtype=np.float32).reshape(5, 3)


@dataclass(frozen=True)
class Case:
    """A layer that follows the indices `i`.

    Attributes:
        node: of ONNX.
        right: indices that are right.
        wrong: values that are not, each with its place among the indices.
        others: its other inputs.
        dtype: of the indices.
    """

    node: tuple[Any, ...]
    right: list[Any]
    wrong: tuple[tuple[int, int], ...]
    others: dict[str, tuple[int, ...]] = field(default_factory=dict)
    dtype: str = "int64"


def everywhere(places: int, *values: int) -> tuple[tuple[int, int], ...]:
    return tuple((place, value) for value in values for place in range(places))


CASES = {
    "Gather": Case(("Gather", "w i", "y"), [0, 4, -1, -5], everywhere(4, 5, -6, 10**9, -(10**9), LOWEST)),
    "columns": Case(("Gather", "w i", "y", {"axis": 1}), [0, 2, -1, -3], everywhere(4, 3, -4)),
    "int32": Case(("Gather", "w i", "y"), [0, 4, -1, -5], everywhere(4, 5, -6, 2**31 - 1, -(2**31)), dtype="int32"),
    "GatherElements": Case(
        ("GatherElements", "w i", "y", {"axis": 0}), [[0, 4, -1], [-5, 1, 2]], everywhere(6, 5, -6, 10**12)
    ),
    "GatherND": Case(
        ("GatherND", "w i", "y"),
        [[0, 2], [4, 0], [-1, -1], [-5, -3]],
        ((0, 5), (0, -6), (1, 3), (1, -4), (6, 5), (7, 3), (7, -4), (7, 10**9)),
    ),
    "batches": Case(
        ("GatherND", "x i", "y", {"batch_dims": 1}),
        [[[0, 3]], [[-3, -4]]],
        ((0, 3), (0, -4), (1, 4), (1, -5), (2, 3), (3, 4)),
        {"x": (2, 3, 4)},
    ),
    "ScatterElements": Case(
        ("ScatterElements", "x i u", "y", {"axis": 1}),
        [[0, 3], [-1, -3]],
        everywhere(4, 4, -5, 10**9),
        {"x": (2, 4), "u": (2, 2)},
    ),
    "ScatterND": Case(
        ("ScatterND", "x i u", "y"),
        [[0, 2], [3, -3]],
        ((0, 4), (0, -5), (1, 3), (1, -4), (2, 4), (3, 3), (3, 10**9)),
        {"x": (4, 3, 2), "u": (2, 2)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_indices_at_both_ends_and_beyond(onnx_model: Any, name: str) -> None:
    case = CASES[name]
    indices = np.array(case.right, case.dtype)
    constants = {"w": TABLE} if "w" in case.node[1] else {}
    shapes = {"i": (case.dtype, *indices.shape), **case.others}
    model = onnx_model(case.node, inputs=shapes, outputs="y", **constants)
    random = np.random.default_rng(0)
    inputs = {key: random.standard_normal(shape).astype(np.float32) for key, shape in case.others.items()}
    compiled = Compiled(model)
    expected = run_model(model, {"i": indices, **inputs})["y"]
    kind = case.node[0]
    for place, value in case.wrong:
        broken = indices.copy()
        broken.flat[place] = value
        with pytest.raises(ModelInputError, match=rf"^layer '{kind}0' \({kind}\): an index is out of range; ax"):
            compiled.run({"i": broken, **inputs})
    np.testing.assert_array_equal(compiled.run({"i": indices, **inputs})[0], expected)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64"])
def test_integers_are_divided_by_anything_but_zero(onnx_model: Any, dtype: str) -> None:
    """The processor itself ends a process that divides by zero, or the lowest number by -1."""
    nodes = [("Div", "x z", "q"), ("Mod", "x z", "m"), ("Mod", "x z", "r", {"fmod": 1})]
    model = onnx_model(*nodes, inputs={"x": (dtype, 6), "z": (dtype, 6)}, outputs="q m r")
    lowest = np.iinfo(dtype).min
    x, z = np.array([[7, -7, 7, -7, lowest, lowest], [2, 2, -2, -2, -1, 3]], dtype)
    compiled = Compiled(model)
    quotient, modulo, rest = compiled.run({"x": x, "z": z})
    np.testing.assert_array_equal(quotient, [3, -3, -3, 3, lowest, -(-lowest // 3)])
    np.testing.assert_array_equal(modulo, [1, 1, -1, -1, 0, lowest % 3])
    np.testing.assert_array_equal(rest, [1, -1, 1, -1, 0, lowest % 3 - 3])
    with pytest.raises(ModelInputError, match=r"^layer 'Div0' \(Div\): an integer is divided by zero$"):
        compiled.run({"x": x, "z": z * (x != 7)})


def test_on_the_virtual_machine(onnx_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """TVM's sorting needs it."""
    monkeypatch.delitem(selection.RULES, "TopK")
    model = onnx_model(
        *(("TopK", "x k", "v t"), ("Add", "t i", "j"), ("Gather", "w j", "y")),
        inputs={"x": (4,), "i": ("int64", 2)},
        outputs="y",
        w=TABLE,
        k=np.array([2]),
    )
    compiled = Compiled(model)
    assert isinstance(compiled.executor, VirtualMachine)
    x = np.array([3, 1, 4, 2], np.float32)
    np.testing.assert_array_equal(compiled.run({"x": x, "i": np.array([2, -5])})[0], TABLE[[4, -5]])
    for wrong in ([3, 0], [0, -6], [10**9, 0]):
        with pytest.raises(ModelInputError, match=r"^layer 'Gather2' \(Gather\): .*axis 0 has 5 elements$"):
            compiled.run({"x": x, "i": np.array(wrong)})


def test_one_hot_has_rows_of_zeros_for_indices_out_of_range(onnx_model: Any) -> None:
    model = onnx_model(
        ("OneHot", "i d v", "y"), inputs={"i": ("int64", 6)}, outputs="y", d=np.array(5), v=np.array([0, 1], np.float32)
    )
    indices = np.array([0, 4, -5, 5, -6, 10**9])
    np.testing.assert_array_equal(Compiled(model).run({"i": indices})[0], run_model(model, {"i": indices})["y"])


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_coordinates_of_any_value_stay_inside(onnx_model: Any, padding: str) -> None:
    model = onnx_model(
        ("GridSample", "x g", "y", {"padding_mode": padding}),
        inputs={"x": (1, 2, 4, 5), "g": (1, 3, 3, 2)},
        outputs="y",
        opset=20,
    )
    compiled = Compiled(model)
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 5)).astype(np.float32)
    for value in (np.nan, np.inf, -np.inf, 1e30, -1e30, 1e10, 3e9, -3e9):
        result = compiled.run({"x": x, "g": np.full((1, 3, 3, 2), value, np.float32)})[0]
        assert not np.any(np.abs(result) > 10 * np.abs(x).max())


def test_constant_indices_are_checked_when_compiling(onnx_model: Any) -> None:
    def model(indices: list[int]) -> Any:
        return read_onnx(onnx_model(("Gather", "x i", "y"), inputs={"x": (5, 3)}, outputs="y", i=np.array(indices)))

    assert [node.kind for node in guard_indices(model([0, 4, -5])).nodes] == ["Gather"]
    for wrong in (5, -6):
        with pytest.raises(UnsupportedModelError, match=r"layer 'Gather0' \(Gather\).*axis 0 has 5 elements"):
            guard_indices(model([0, wrong]))


def test_layers_share_a_check_of_the_same_indices(onnx_model: Any) -> None:
    model = onnx_model(
        ("Gather", "a i", "y"),
        ("Gather", "b i", "z"),
        ("Gather", "b i", "t", {"axis": 1}),
        inputs={"i": ("int64", 4)},
        outputs="y z t",
        a=TABLE,
        b=TABLE + 1,
    )
    before = read_onnx(model)
    guarded = guard_indices(before)
    assert [node.kind for node in guarded.nodes] == ["bounds", "Gather", "Gather", "bounds", "Gather"]
    assert [node.kind for node in before.nodes] == ["Gather"] * 3


@pytest.mark.parametrize("name", ["Gather", "GatherND", "ScatterElements"])
def test_a_gpu_follows_no_index_that_is_out_of_range_and_says_so(onnx_model: Any, name: str, tmp_path: Path) -> None:
    """The model that a GPU runs, on this machine."""
    case = CASES[name]
    indices = np.array(case.right, case.dtype)
    constants = {"w": TABLE} if "w" in case.node[1] else {}
    model = onnx_model(case.node, inputs={"i": (case.dtype, *indices.shape), **case.others}, outputs="y", **constants)
    guarded = guarded_onnx(model)
    onnx.checker.check_model(guarded.model)
    target = parse_target("llvm", 1)
    module = from_onnx(guarded.model, keep_params_in_input=False)
    module = build.plan_memory(build.schedule(module, target), target)
    build.generate(module, target).export_library(str(tmp_path / "model.so"))
    machine = VirtualMachine((tmp_path / "model.so").read_bytes(), [], checks=guarded.messages)
    random = np.random.default_rng(0)
    others = {key: random.standard_normal(shape).astype(np.float32) for key, shape in case.others.items()}
    names = [value.name for value in model.graph.input]

    def run(given: np.ndarray) -> np.ndarray:
        machine.set_inputs([{"i": given, **others}[key] for key in names])
        machine.run()
        (result,) = machine.outputs()
        return np.asarray(result)

    for place, value in case.wrong:
        broken = indices.copy()
        broken.flat[place] = value
        with pytest.raises(ModelInputError, match=rf"^layer '{name}0' \({name}\): an index is out of range"):
            run(broken)
    np.testing.assert_array_equal(run(indices), run_model(model, {"i": indices, **others})["y"])


def test_artifacts_for_a_gpu_list_their_checks(onnx_model: Any, imported: Any, tmp_path: Path) -> None:
    model = onnx_model(("Gather", "w i", "y"), inputs={"i": ("int64", 4)}, outputs="y", w=TABLE)
    for target, count in (("cuda", 1), ("llvm", 0)):
        compile_model(imported(model), parse_target(target), None, tmp_path / "out.tar")
        assert len(read_parts(tmp_path / "out.tar").manifest["checks"]) == count
