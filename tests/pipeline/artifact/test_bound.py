"""Calls from Python: what is checked, and models that are bound to arrays of their own."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests import tiny
from tvmopt.pipeline.artifact.loaded import LoadedArtifact, load_artifact
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.errors import ModelInputError
from tvmopt.pipeline.importers import load_model
from tvmopt.schedules.target import parse_target


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedArtifact:
    """The two convolutions, compiled."""
    path = tmp_path / "model.tar"
    path.write_bytes(tiny.artifact())
    return load_artifact(path)


@pytest.fixture
def sorting(tmp_path: Path, onnx_model: Any) -> LoadedArtifact:
    """A model that needs TVM's runtime, since it sorts."""
    model = onnx_model(
        ("TopK", "x k", "best places", {"axis": 1}),
        ("Add", "x x", "twice"),
        inputs={"x": (3, 11)},
        outputs="best places twice",
        k=np.array([4], np.int64),
    )
    onnx.save(model, tmp_path / "model.onnx")
    compile_model(load_model(str(tmp_path / "model.onnx")), parse_target("llvm", 1), None, tmp_path / "model.tar")
    return load_artifact(tmp_path / "model.tar")


def draw(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, 8, 14, 14), dtype=np.float32)


RIGHT = np.zeros((1, 8, 14, 14), np.float32)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"x": RIGHT[0]}, "'x' has shape 8,14,14, the model's is 1,8,14,14"),
        ({"x": RIGHT.astype(np.float64)}, "'x' has dtype float64, the model's is float32"),
        ({"x": RIGHT.astype(">f4")}, "'x' has dtype >f4, the model's is float32"),
        ({"z": RIGHT}, "missing 'x', unknown 'z'"),
        ({"x": RIGHT, "z": RIGHT}, "unknown 'z'"),
        ({}, "missing 'x'"),
        ({"x": RIGHT.tolist()}, "inputs must be arrays of numpy; 'x' is list"),
        ({"x": None}, "inputs must be arrays of numpy; 'x' is NoneType"),
        (RIGHT, "inputs must be arrays by name, such as {'x': array}; got numpy.ndarray"),
    ],
)
@pytest.mark.parametrize("way", ["run", "bind", "set_inputs"])
def test_inputs_that_do_not_fit(loaded: LoadedArtifact, inputs: Any, said: str, way: str) -> None:
    with pytest.raises(ModelInputError) as raised:
        getattr(loaded, way)(inputs)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_inputs_in_any_mapping(loaded: LoadedArtifact, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=draw(0))
    np.testing.assert_array_equal(
        loaded.run(np.load(tmp_path / "in.npz"))["y"], loaded.run({"x": draw(0)[::-1][::-1]})["y"]
    )


def test_bound_arrays_are_read_and_filled_in_place(loaded: LoadedArtifact) -> None:
    given = draw(0)
    bound = loaded.bind({"x": given})
    first = bound()
    np.testing.assert_array_equal(first["y"], loaded.run({"x": given})["y"])
    given[...] = 0  # its values were copied
    np.testing.assert_array_equal(bound()["y"], loaded.run({"x": draw(0)})["y"])
    np.testing.assert_array_equal(bound.inputs["x"], draw(0))
    bound.inputs["x"][...] = draw(1)
    expected = loaded.run({"x": draw(1)})["y"]
    second = bound()
    assert second["y"] is first["y"]
    np.testing.assert_array_equal(first["y"], expected)
    assert bound.inputs["x"].ctypes.data % 64 == 0
    assert bound.inputs["x"].flags.c_contiguous


def test_bound_arrays_cannot_be_exchanged_or_spoiled(loaded: LoadedArtifact) -> None:
    bound = loaded.bind({"x": draw(0)})
    with pytest.raises(TypeError):
        bound.inputs["x"] = draw(1)  # type: ignore[index]
    with pytest.raises(ValueError, match="read-only"):
        bound()["y"][...] = 0
    with pytest.raises(AttributeError):
        bound.inputz = {}  # type: ignore[attr-defined]


def test_bound_models_do_not_touch_each_other(loaded: LoadedArtifact) -> None:
    expected = [loaded.run({"x": draw(seed)})["y"] for seed in range(3)]
    one, other = loaded.bind({"x": draw(0)}), loaded.bind({"x": draw(1)})
    loaded.set_inputs({"x": draw(2)})
    assert one()["y"] is not other()["y"]
    loaded.run_only()
    np.testing.assert_array_equal(one()["y"], expected[0])
    np.testing.assert_array_equal(other()["y"], expected[1])
    np.testing.assert_array_equal(loaded.outputs()["y"], expected[2])


def test_arrays_outlive_the_models(loaded: LoadedArtifact) -> None:
    expected = loaded.run({"x": draw(0)})["y"]
    bound = loaded.bind({"x": draw(0)})
    made, given = bound()["y"], bound.inputs["x"][0, 3]
    del bound, loaded
    gc.collect()
    np.testing.assert_array_equal(made, expected)
    given[...] = 1
    np.testing.assert_array_equal(given, np.ones_like(given))


def test_a_bound_model_in_each_thread(loaded: LoadedArtifact) -> None:
    inputs = [draw(seed) for seed in range(4)]
    expected = [loaded.run({"x": x})["y"] for x in inputs]
    wrong: list[int] = []

    def work(seed: int) -> None:
        bound = loaded.bind({"x": inputs[seed]})
        for _ in range(200):
            bound.inputs["x"][...] = inputs[seed]
            if not np.array_equal(bound()["y"], expected[seed]):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_model_on_the_virtual_machine(sorting: LoadedArtifact) -> None:
    random = np.random.default_rng(0)
    inputs = [random.standard_normal((3, 11), dtype=np.float32) for _ in range(2)]
    bound = sorting.bind({"x": inputs[0]})
    sorting.set_inputs({"x": inputs[1]})
    first = bound()
    bound.inputs["x"][...] = inputs[1]
    made = bound()
    np.testing.assert_array_equal(made["best"], -np.sort(-inputs[1], 1)[:, :4])
    np.testing.assert_array_equal(np.take_along_axis(inputs[1], made["places"], 1), made["best"])
    assert all(made[name] is first[name] for name in made)
    with pytest.raises(ValueError, match="read-only"):
        made["twice"][...] = 0
    sorting.run_only()
    np.testing.assert_array_equal(sorting.outputs()["twice"], 2 * inputs[1])
