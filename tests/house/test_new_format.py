"""A format that only the registry knows works everywhere: imported, named in help and errors, compared, verified."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests import tiny
from tvmopt.benchmarks.comparison.compare import run_comparison
from tvmopt.benchmarks.measurements.files import from_document
from tvmopt.benchmarks.measurements.options import CompareOptions, MeasureOptions
from tvmopt.cli import main
from tvmopt.pipeline.artifact.loaded import load_artifact
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.errors import InputFileError, UnsupportedModelError, UsageError, WrongResultError
from tvmopt.pipeline.importers import example_inputs, load_model, parse_source, registry
from tvmopt.pipeline.importers.base import Importer, OnnxForm
from tvmopt.pipeline.importers.check.normalized import with_outputs
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.types import ImportedModel, ModelSource
from tvmopt.pipeline.verification.verify import verify
from tvmopt.schedules.target import parse_target

GRAPHS = {
    "two": tiny.TWO_CONVOLUTIONS,
    "fixed": "g (float[1,8,6,6] x) => (float[1,288] y) <int64[2] s = {1, 288}> { y = Reshape (x, s) }",
}


def load(source: ModelSource, request: ShapeRequest, strict: bool) -> OnnxForm:
    """The graph whose name the file holds."""
    name = source.path.read_text().strip()
    if name not in GRAPHS:
        raise InputFileError(f"no graph is called {name!r}")
    with_weights = tiny.save_onnx(source.path.with_name("hidden"), GRAPHS[name])
    model = onnx.load(with_weights)
    with_weights.unlink()
    for node in model.graph.node:
        node.name = f"layer {node.output[0]}"
    return OnnxForm(model, request)


def layer_values(
    model: ImportedModel, inputs: Mapping[str, np.ndarray], names: Collection[str]
) -> Mapping[str, np.ndarray]:
    return run_model(with_outputs(model.original, list(names)), inputs, list(names))


FAKE = Importer(
    kind="fake",
    title="a Fakeflow file",
    about="a file that names a graph",
    form="file.fake",
    suffixes=(".fake", "-graph.fk"),
    load=load,
    framework="Fakeflow",
    layer_values=layer_values,
    original_runtime="openvino",
    refused={".fakeweights": "holds weights alone: give file.fake"},
)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "IMPORTERS", (*registry.IMPORTERS, FAKE))


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "net.fake"
    path.write_text("two")
    return str(path)


def test_it_is_imported(spec: str, tmp_path: Path) -> None:
    model = load_model(spec)
    assert (model.name, model.source.kind) == ("net", "fake")
    assert [node.name for node in model.original.graph.node] == ["layer a", "layer b", "layer y"]
    assert load_model(spec, batch=3).outputs[0].shape == (3, 16, 14, 14)
    Path(spec).rename(tmp_path / "Other-Graph.FK")
    assert load_model(str(tmp_path / "Other-Graph.FK")).name == "Other"


def test_its_check_is_called(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(form: OnnxForm) -> None:
        raise WrongResultError(f"Fakeflow differs from layer {form.model.graph.node[0].name!r} on")

    monkeypatch.setattr(registry, "IMPORTERS", (*registry.IMPORTERS[:-1], replace(FAKE, check=check)))
    with pytest.raises(WrongResultError, match=r"net\.fake: Fakeflow differs from layer 'layer a' on"):
        load_model(spec)


def test_a_batch_that_is_fixed_inside_is_found(spec: str) -> None:
    Path(spec).write_text("fixed")
    assert load_model(spec).outputs[0].shape == (1, 288)
    with pytest.raises(UnsupportedModelError, match="fixed to a batch of 1 and cannot be given one of 2"):
        load_model(spec, batch=2)


def test_errors_name_it(spec: str, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r" or file\.fake$"):
        parse_source(str(tmp_path / "net.weights"))
    with pytest.raises(InputFileError, match="net.fakeweights' holds weights alone: give file.fake"):
        parse_source(str(tmp_path / "net.fakeweights"))
    with pytest.raises(InputFileError, match=r"did you mean net\.fake\?"):
        parse_source(str(tmp_path / "nut.fake"))
    with pytest.raises(UsageError, match="takes no factory"):
        parse_source(f"{spec}:build")


def test_help_lists_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert re.search(r"^  file\.fake +a file that names a graph$", capsys.readouterr().out, re.MULTILINE)


def test_help_of_a_command_lists_it(repository: Path) -> None:
    """Commands read the registry's forms on import, so this runs in a separate process."""
    code = (
        "from dataclasses import replace; from tvmopt.pipeline.importers import registry;"
        "fake = replace(registry.IMPORTERS[0], kind='fake', form='file.fake', suffixes=('.fake',));"
        "registry.IMPORTERS = (*registry.IMPORTERS, fake);"
        "from tvmopt.cli import main; main(['tune', '--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repository)
    assert " or file.fake." in " ".join(done.stdout.split())


@pytest.mark.slow
def test_it_is_compared_with_its_own_runtime(spec: str) -> None:
    pytest.importorskip("openvino")
    measure = MeasureOptions(rounds=5, turn_s=0.005, warmup_s=0.01, calibration_samples=8)
    options = CompareOptions(spec, ("pytorch", "onnxruntime", "openvino"), measure=measure)
    comparison = from_document(run_comparison(options))
    assert (comparison.model["kind"], comparison.model["reference"]) == ("fake", "openvino")
    assert comparison.model["reference_note"] == ""
    rows = {row.runtime: row for row in comparison.measurements}
    assert (rows["pytorch"].status, rows["pytorch"].message) == (
        "not_applicable",
        "not applicable: the model is a Fakeflow file",
    )
    assert [rows[name].status for name in ("onnxruntime", "openvino")] == ["ok", "ok"]


@pytest.mark.slow
def test_it_is_verified_against_its_framework(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(spec)
    compile_model(model, parse_target("llvm", 2), None, tmp_path / "net.tar")
    artifact = load_artifact(tmp_path / "net.tar")
    result = verify(model, artifact, example_inputs(model))
    assert result.first_wrong is None
    assert result.framework == "Fakeflow"
    assert "Fakeflow" in result.outputs[0].errors
    monkeypatch.setattr(registry, "IMPORTERS", (*registry.IMPORTERS[:-1], replace(FAKE, layer_values=None)))
    result = verify(model, artifact, example_inputs(model))
    assert result.notes == ("no comparison with Fakeflow: its importer cannot ask it for values of layers",)
    assert result.framework == ""
