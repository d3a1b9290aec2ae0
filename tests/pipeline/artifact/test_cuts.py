"""Outputs whose size is found at run time, on their way through artifact, recall and verification."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tvmopt.pipeline.artifact.check_golden import golden_outputs
from tvmopt.pipeline.artifact.format import read_parts, save_artifact
from tvmopt.pipeline.artifact.loaded import load_artifact
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.importers.golden import golden_pair
from tvmopt.pipeline.importers.recalling.recall import load_or_recall
from tvmopt.pipeline.support.cache import Cache
from tvmopt.pipeline.verification.verify import verify
from tvmopt.schedules.target import parse_target


@pytest.fixture
def source(onnx_model: Any, tmp_path: Path) -> str:
    """The places of positive elements, and these elements; an output of known size between."""
    model = onnx_model(
        ("Relu", "x", "r"),
        ("NonZero", "r", "places"),
        ("Neg", "r", "low"),
        ("Transpose", "places", "rows", {"perm": [1, 0]}),
        ("GatherND", "x rows", "elements"),
        inputs={"x": (3, 11)},
        outputs="places low elements",
    )
    onnx.save(model, tmp_path / "model.onnx")
    return str(tmp_path / "model.onnx")


@pytest.fixture
def path(source: str, tmp_path: Path) -> Path:
    compile_model(load_model(source), parse_target("llvm", 1), None, tmp_path / "model.tar")
    return tmp_path / "model.tar"


def test_a_run_cuts_its_outputs(path: Path) -> None:
    loaded = load_artifact(path)
    for share in (0.0, 0.3, 1.0):
        random = np.random.default_rng(0)
        x = np.where(random.random((3, 11)) < share, 1 + random.random((3, 11)), -1).astype(np.float32)
        results = loaded.run({"x": x})
        assert list(results) == ["places", "low", "elements"]
        np.testing.assert_array_equal(results["places"], np.nonzero(x > 0))
        np.testing.assert_array_equal(results["elements"], x[x > 0])
    assert all(output.right for output in golden_outputs(loaded))
    assert 0 < loaded.golden_outputs["elements"].size < 33


def test_verification(source: str, path: Path) -> None:
    model, loaded = load_model(source), load_artifact(path)
    found = verify(model, loaded, loaded.golden_inputs)
    assert found.first_wrong is None
    assert [check.value for check in found.outputs] == ["places", "low", "elements"]


def test_the_model_has_the_outputs_of_its_file(source: str, tmp_path: Path) -> None:
    model = load_model(source)
    assert [(spec.name, spec.shape) for spec in model.results] == [
        ("places", (2, 33)),
        ("low", (3, 11)),
        ("elements", (33,)),
    ]
    (_, dim), _, (size,) = (output.type.tensor_type.shape.dim for output in model.original.graph.output)
    assert dim.dim_param == size.dim_param != ""
    cache = Cache(tmp_path / "cache")
    first, second = (load_or_recall(source, cache) for _ in range(2))
    assert first.cuts == second.cuts == model.cuts
    assert second.golden is not None
    for name, array in golden_pair(model)[1].items():
        np.testing.assert_array_equal(second.golden[1][name], array)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"axis": 7}, "cut along axis 7"),
        ({"count": "low"}, "is no number"),
        ({"room": "nothing"}, "no 'nothing'"),
    ],
)
def test_manifests_that_lie(path: Path, change: dict[str, Any], says: str) -> None:
    parts = read_parts(path)
    first, *rest = parts.manifest["cuts"]
    save_artifact(replace(parts, manifest={**parts.manifest, "cuts": [{**first, **change}, *rest]}), path)
    with pytest.raises(InputFileError, match=says):
        read_parts(path)


def test_an_output_that_a_manifest_cuts_twice(path: Path) -> None:
    parts = read_parts(path)
    first, second = parts.manifest["cuts"]
    cuts = [first, {**second, "room": first["room"], "axis": first["axis"]}]
    save_artifact(replace(parts, manifest={**parts.manifest, "cuts": cuts}), path)
    with pytest.raises(InputFileError, match="cut twice"):
        read_parts(path)
