"""Layer by layer: the compared values, the first wrong layer, and the layers that are themselves at fault."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import broken, tiny
from tvmopt.pipeline.artifact.format import read_parts, save_artifact
from tvmopt.pipeline.artifact.loaded import LoadedArtifact, load_artifact
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.errors import InputFileError, ModelInputError, UnsupportedModelError
from tvmopt.pipeline.importers import example_inputs, load_model
from tvmopt.pipeline.support.numeric_error import EXACT, INCOMPARABLE, NumericError
from tvmopt.pipeline.types import ImportedModel
from tvmopt.pipeline.verification import verify as verifying
from tvmopt.pipeline.verification.result import ONNXRUNTIME, ValueCheck, Verification
from tvmopt.pipeline.verification.verify import check_same_model, verify
from tvmopt.schedules.target import parse_target

pytestmark = pytest.mark.slow  # a process or two for each test

SPECIAL = """special (float[1,8,6,6] x) => (float[1,16,6,6] undefined, int64[1,1,6,6] indices) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w1)
    b = Trilu (a)
    c = Trilu <upper = 0> (b)
    d = Conv (c, w2)
    undefined = Log (d)
    indices = ArgMax <axis = 1> (d)
}"""
"""Two layers that TVM lowers, one after the other; logarithms of negative numbers; integers."""
FACTORY = """import torch
from torch import nn

def build():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(576, 5))
    return net, (torch.zeros(1, 3, 8, 8),)
"""

Special = tuple[ImportedModel, LoadedArtifact]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ImportedModel:
    return load_model(str(broken.save_residual(tmp_path_factory.mktemp("residual"))))


@pytest.fixture(scope="module")
def good(model: ImportedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("artifact") / "good.tar"
    compile_model(model, parse_target("llvm", 2), None, path)
    return path


@pytest.fixture(scope="module")
def special(tmp_path_factory: pytest.TempPathFactory) -> Special:
    model = tiny.load(SPECIAL)
    return model, compiled(model, tmp_path_factory.mktemp("special"))


def compiled(model: ImportedModel, folder: Path) -> LoadedArtifact:
    compile_model(model, parse_target("llvm", 2), None, folder / "compiled.tar")
    return load_artifact(folder / "compiled.tar")


def check_of(result: Verification, layer: str) -> ValueCheck:
    """The check of the kernel result that represents `layer`, without copies."""
    (found,) = (check for check in result.checks if layer in check.layers and check.operator != "relayout")
    return found


def test_a_correct_model(model: ImportedModel, good: Path) -> None:
    result = verify(model, load_artifact(good), example_inputs(model))
    assert result.first_wrong is None
    assert result.uncompared == ()
    assert result.covered == result.layers == len(model.original.graph.node) == 14
    errors = {check.value: check.errors[ONNXRUNTIME] for check in (*result.checks, *result.outputs)}
    # If the convolution's rounding moves a number across a half, Round is off by a whole step.
    assert errors.pop("round").max_abs <= 1.0
    assert check_of(result, "net.round/Round").alone == EXACT
    assert 0 < max(error.relative for error in errors.values()) < 1e-5
    assert 0 < max(check.alone.relative for check in result.checks if check.alone is not None) < 1e-5
    assert [check.value for check in result.outputs] == ["y"]
    assert result.notes == ("no comparison with the original framework: residual.onnx does not say which one",)


def test_values_are_compared_where_they_survive(model: ImportedModel, good: Path) -> None:
    result = verify(model, load_artifact(good), example_inputs(model))
    assert check_of(result, "net.conv_b/Conv").value == "relu_b"
    assert check_of(result, "net.add_b/Add").value == "relu_b"
    # Its last part is computed directly in the result.
    assert check_of(result, "net.both/Concat").operator == "conv2d"
    assert check_of(result, "net.round/Round").operator == "pointwise"
    copies = [check.value for check in result.checks if check.operator == "relayout"]
    assert "x" in copies


def test_the_order_is_that_of_execution(model: ImportedModel, good: Path) -> None:
    artifact = load_artifact(good)
    result = verify(model, artifact, example_inputs(model))
    assert [check.kernel for check in result.checks] == [step.kernel for step in artifact.steps]


@pytest.mark.parametrize(
    ("layer", "fault"),
    [("net.conv_b/Conv", "no epilogue"), ("net.conv_d/Conv", "a tap skipped")],
)
def test_a_broken_kernel_is_pinned_to_its_layer(
    model: ImportedModel, tmp_path: Path, layer: str, fault: broken.Fault
) -> None:
    path = tmp_path / "broken.tar"
    broken.compile_broken(model, parse_target("llvm", 2), layer, fault, path)
    result = verify(model, load_artifact(path), example_inputs(model))
    wrong = result.first_wrong
    assert wrong is check_of(result, layer)
    assert wrong.at_fault
    assert wrong.unchecked == ()
    # The error propagates, but no other layer is at fault.
    assert result.outputs[0].wrong
    assert result.later_at_fault == ()
    assert [check.layers for check in result.checks if check.at_fault] == [wrong.layers]
    # Without the list of kernels, verify can only report that something is wrong.
    parts = read_parts(path)
    save_artifact(replace(parts, manifest={**parts.manifest, "steps": []}), path)
    result = verify(model, load_artifact(path), example_inputs(model))
    assert result.checks == ()
    assert result.first_wrong is result.outputs[0]
    assert result.outputs[0].layers == ("net.y/Gemm",)
    assert result.covered == result.layers


def test_the_error_of_a_model_may_be_no_layers_fault(model: ImportedModel, good: Path) -> None:
    result = verify(model, load_artifact(good), example_inputs(model), tolerance=1e-4)
    wrong = result.first_wrong
    assert wrong is check_of(result, "net.round/Round")
    assert not wrong.at_fault


def test_either_error_makes_an_output_wrong() -> None:
    small, large = NumericError(1.0, 5e-4, 1.0), NumericError(1.0, 2e-3, 1.0)

    def check(error: NumericError, alone: NumericError | None) -> ValueCheck:
        return ValueCheck("v", "k", "conv2d", ("layer",), (), 1e-3, {ONNXRUNTIME: error}, alone)

    assert not check(small, NumericError(1.0, 9e-5, 1.0)).wrong
    assert check(small, small).at_fault
    assert check(small, small).wrong
    assert check(large, None).wrong_against == (ONNXRUNTIME,)
    assert not check(large, None).at_fault
    assert check(INCOMPARABLE, None).wrong
    assert check(small, INCOMPARABLE).wrong
    undefined = NumericError(float("nan"), float("nan"), float("nan"))
    assert check(undefined, None).wrong
    assert check(small, undefined).at_fault


def test_non_finite_values_must_match_the_reference(special: Special) -> None:
    model, artifact = special
    result = verify(model, artifact, example_inputs(model))
    assert np.isnan(artifact.outputs()["undefined"]).any()
    assert result.first_wrong is None


def test_layers_that_tvm_lowers_are_compared_one_by_one(special: Special) -> None:
    model, artifact = special
    result = verify(model, artifact, example_inputs(model))
    assert check_of(result, "Trilu_b").operator == "Trilu"
    assert check_of(result, "Trilu_c").operator == "Trilu"
    assert not result.uncompared
    assert all(check.unchecked == () for check in result.checks)
    assert result.covered == result.layers == 6


def test_integers_must_be_equal_unless_a_tolerance_is_given(special: Special) -> None:
    model, artifact = special
    _, indices = verify(model, artifact, example_inputs(model)).outputs
    assert (indices.value, indices.tolerance) == ("indices", 0.0)
    _, indices = verify(model, artifact, example_inputs(model), tolerance=0.5).outputs
    assert indices.tolerance == 0.5


@pytest.mark.slow
def test_pytorch_is_a_second_reference(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(FACTORY)
    model = load_model(f"{tmp_path / 'net.py'}:build")
    inputs = example_inputs(model, seed=3)
    artifact = compiled(model, tmp_path)
    result = verify(model, artifact, inputs)
    assert result.notes == ()
    assert result.first_wrong is None
    # The convolution, with everything folded and fused into it, gives the value of PyTorch's ReLU.
    fused = check_of(result, "0/Conv")
    assert result.framework == "PyTorch"
    assert 0 < fused.errors["PyTorch"].relative < 1e-6
    assert 0 < result.outputs[0].errors["PyTorch"].relative < 1e-5
    # For a different network than the compiled one, PyTorch is left out, with the reason.
    (tmp_path / "net.py").write_text(FACTORY.replace("manual_seed(0)", "manual_seed(1)"))
    result = verify(model, artifact, inputs)
    assert result.first_wrong is None
    assert result.framework == ""
    assert set(result.outputs[0].errors) == {ONNXRUNTIME}
    assert "build() returned a different network the second time" in result.notes[0]


def test_values_that_onnxruntime_refuses(model: ImportedModel, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise UnsupportedModelError("onnxruntime cannot run the model: index 99 is out of bounds")

    monkeypatch.setattr(verifying, "run_given", refuse)
    result = verify(model, load_artifact(good), example_inputs(model))
    assert result.first_wrong is None
    assert check_of(result, "net.conv_a/Conv").alone is None
    assert "index 99 is out of bounds" in result.notes[-1]


def test_inputs_that_do_not_fit(model: ImportedModel, good: Path) -> None:
    with pytest.raises(ModelInputError, match="missing 'x'"):
        verify(model, load_artifact(good), {})


def test_an_artifact_of_another_model(model: ImportedModel, good: Path, tmp_path: Path) -> None:
    artifact = load_artifact(good)
    check_same_model(model, artifact, "good.tar")
    with pytest.raises(InputFileError, match=r"its inputs are x:1,8,12,12 float32, those of .* x:1,8,14,14 float32"):
        check_same_model(tiny.load(), artifact, "good.tar")
    with pytest.raises(
        InputFileError, match=r"^good.tar was compiled from .*residual.onnx\): the weights or layers of"
    ):
        check_same_model(replace(model, sha256="0" * 64), artifact, "good.tar")


def test_json(model: ImportedModel, good: Path) -> None:
    result = verify(model, load_artifact(good), example_inputs(model))
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert (document["schema"], document["version"]) == ("tvmopt-verification", 2)
    assert document["passed"]
    assert document["first_wrong"] is None
    assert (document["layers_covered"], document["layers"]) == (14, 14)
    assert len(document["values"]) == len(result.checks)
    first = document["values"][0]
    assert set(first["errors"]["onnxruntime"]) == set(first["alone"]) == {"max_abs", "relative", "cosine"}
    assert first["alone"]["cosine"] == pytest.approx(1.0)
