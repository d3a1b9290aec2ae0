"""Imports that are recalled give the same model as imports that are made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tvmopt.pipeline.errors import InputFileError, OpenShapeError
from tvmopt.pipeline.graph.read_onnx import read_onnx
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.importers.golden import golden_pair
from tvmopt.pipeline.importers.load import load_parked
from tvmopt.pipeline.importers.recalling import recall
from tvmopt.pipeline.importers.recalling.recall import KIND, load_or_recall
from tvmopt.pipeline.support.cache import Cache
from tvmopt.pipeline.support.weights import light_model
from tvmopt.pipeline.types import ImportedModel

Parse = Callable[..., onnx.ModelProto]

GRAPH = """net (float[N,40] x, int64[N] i) => (float[N,50] y, float[N,40] z) {
    first = Transpose <perm = [1, 0]> (turned)
    a = MatMul (x, first)
    b = Add (a, bias)
    y = Relu (b)
    c = Gather (table, i)
    d = Mul (c, c)
    e = Add (doubled, doubled)
    f = Add (d, e)
    z = Add (f, x)
}"""


@pytest.fixture
def model(parse: Parse) -> onnx.ModelProto:
    """Weights that are stored as they are read, transposed, computed, small, and with values that equal nothing."""
    random = np.random.default_rng(0)
    table = random.standard_normal((60, 40), np.float32)
    table[3, :3] = [np.nan, np.inf, -0.0]
    made = parse(
        GRAPH,
        turned=random.standard_normal((50, 40), np.float32),
        table=table,
        doubled=random.standard_normal((1, 40), np.float32),
    )
    bias = made.graph.initializer.add(name="bias", dims=[50], data_type=onnx.TensorProto.FLOAT)
    bias.float_data.extend(random.standard_normal(50))
    return made


@pytest.fixture(autouse=True, params=[light_model.PARKED_BYTES, 1], ids=["as they are", "parked"])
def parked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports with the weights in memory, and with the large ones parked."""
    monkeypatch.setattr(light_model, "PARKED_BYTES", request.param)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def spec(model: onnx.ModelProto, tmp_path: Path) -> str:
    onnx.save(model, tmp_path / "net.onnx")
    return str(tmp_path / "net.onnx")


SHAPES = {"x": (2, 40)}


def assert_same(found: ImportedModel, wanted: ImportedModel) -> None:
    """`wanted` is as `load_model` returned it."""
    inputs, outputs = golden_pair(wanted)
    for name in ("name", "source", "inputs", "outputs", "sha256", "draws"):
        assert getattr(found, name) == getattr(wanted, name), name
    assert found.golden is not None
    for arrays, expected in zip(found.golden, (inputs, outputs), strict=True):
        assert list(arrays) == list(expected)
        for name, array in expected.items():
            assert arrays[name].dtype == array.dtype
            np.testing.assert_array_equal(arrays[name], array)
    graph, whole = read_onnx(found.normalized, found.weights), read_onnx(wanted.normalized)
    assert [node.proto for node in graph.nodes] == [node.proto for node in whole.nodes]
    assert (graph.values, graph.inputs, graph.outputs, graph.opset) == (
        whole.values,
        whole.inputs,
        whole.outputs,
        whole.opset,
    )
    assert set(graph.constants) == set(whole.constants)
    for name, array in whole.constants.items():
        assert graph.constants[name].dtype == array.dtype
        assert graph.constants[name].shape == array.shape
        assert graph.constants[name].tobytes() == array.tobytes(), name


def test_a_second_import_is_recalled(spec: str, cache: Cache, imports: list[str]) -> None:
    wanted = load_model(spec, SHAPES)
    first = load_or_recall(spec, cache, SHAPES)
    second = load_or_recall(spec, cache, SHAPES)
    assert imports == [spec]
    assert_same(first, wanted)
    assert_same(second, wanted)
    assert first.weights  # the large ones are apart
    assert second.weights


def test_weights_stay_in_the_files(spec: str, cache: Cache) -> None:
    load_or_recall(spec, cache, SHAPES)
    (entry,) = cache.folder.glob(f"{KIND}/*/*")  # type: ignore[union-attr]
    assert entry.stat().st_size < 8000 < Path(spec).stat().st_size


def test_external_weights(model: onnx.ModelProto, cache: Cache, imports: list[str], tmp_path: Path) -> None:
    spec = str(tmp_path / "net.onnx")
    onnx.save(model, spec, save_as_external_data=True, location="net.data", size_threshold=100)
    wanted = load_model(spec, SHAPES)
    for _ in range(2):
        assert_same(load_or_recall(spec, cache, SHAPES), wanted)
    assert imports == [spec]
    data = bytearray((tmp_path / "net.data").read_bytes())
    data[-1] ^= 0x10
    (tmp_path / "net.data").write_bytes(data)
    assert_same(load_or_recall(spec, cache, SHAPES), load_model(spec, SHAPES))
    assert imports == [spec, spec]


def test_the_file_may_have_moved(spec: str, cache: Cache, imports: list[str], tmp_path: Path) -> None:
    load_or_recall(spec, cache, SHAPES)
    moved = str(shutil.copy(spec, tmp_path / "other.onnx"))
    assert_same(load_or_recall(moved, cache, SHAPES), load_model(moved, SHAPES))
    assert imports == [spec]


def test_whatever_the_import_depends_on(spec: str, cache: Cache, imports: list[str], model: onnx.ModelProto) -> None:
    wanted = load_or_recall(spec, cache, SHAPES)
    assert load_or_recall(spec, cache, {"x": (3, 40)}).inputs != wanted.inputs
    assert load_or_recall(spec, cache, SHAPES, input_values={"i": (1, 2)}).inputs == wanted.inputs[:1]
    assert len(imports) == 3
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights[0, 0] += 1
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "turned"))
    onnx.save(model, spec)
    assert_same(load_or_recall(spec, cache, SHAPES), load_model(spec, SHAPES))
    assert len(imports) == 4


def test_errors_are_those_of_an_import(spec: str, cache: Cache, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(OpenShapeError):
            load_or_recall(spec, cache)
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x0a no model")
    with pytest.raises(InputFileError, match="bad.onnx"):
        load_or_recall(str(tmp_path / "bad.onnx"), cache)


def test_without_a_cache(spec: str, imports: list[str]) -> None:
    for _ in range(2):
        assert_same(load_or_recall(spec, Cache(None), SHAPES), load_model(spec, SHAPES))
    assert imports == [spec, spec]


def test_large_entries_are_not_kept(
    spec: str, cache: Cache, imports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "MOST_BYTES", 1000)
    for _ in range(2):
        load_or_recall(spec, cache, SHAPES)
    assert imports == [spec, spec]


def test_a_file_that_changes_meanwhile(
    spec: str, cache: Cache, model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an import of the new content found must not be filed under the old content."""

    def load(spec: str, *others: object) -> ImportedModel:
        model.graph.initializer[0].name = "turned"
        model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[::-1]
        onnx.save(model, spec)
        return load_parked(spec, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(recall, "load_parked", load)
    load_or_recall(spec, cache, SHAPES)
    assert not list(cache.folder.glob(f"{KIND}/*/*"))  # type: ignore[union-attr]


def test_models_that_code_makes_are_imported_each_time(cache: Cache, imports: list[str], tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\n\ndef build():\n    return torch.nn.Linear(3, 2).eval(), torch.ones(1, 3)\n"
    )
    spec = f"{tmp_path / 'net.py'}:build"
    first, second = (load_or_recall(spec, cache) for _ in range(2))
    assert imports == [spec, spec]
    assert first.sha256 != second.sha256  # its weights are random
