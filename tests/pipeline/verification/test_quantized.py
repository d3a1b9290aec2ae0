"""Quantised models: a step more or less is no fault, anything larger is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.pipeline.importers.tensorflow.files import real_model
from tvmopt.pipeline.artifact.loaded import load_artifact
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.importers import example_inputs, load_model
from tvmopt.pipeline.support.tolerances import ALONE, BEHIND_INTEGERS, COMPILED
from tvmopt.pipeline.verification import verify as verifying
from tvmopt.pipeline.verification.quantized import values_behind
from tvmopt.pipeline.verification.result import ONNXRUNTIME
from tvmopt.pipeline.verification.verify import verify
from tvmopt.schedules.target import parse_target

TEXT = """<ir_version: 8, opset_import: ["": 17]>
quantised (float[1,3,7,5] x) => (float[1,3,7,5] y, float[1,3,7,5] free)
<float scale = {0.03}, int8 zero = {-7}> {
    a = Relu (x)
    q = QuantizeLinear (a, scale, zero)
    d = DequantizeLinear (q, scale, zero)
    y = Sigmoid (d)
    free = Tanh (a)
}"""


def test_values_behind_the_rounding() -> None:
    assert values_behind(onnx.parser.parse_model(TEXT).graph) == {"q", "d", "y"}


@pytest.mark.slow
def test_floats_behind_integers_have_their_tolerance(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(TEXT), tmp_path / "net.onnx")
    model = load_model(str(tmp_path / "net.onnx"))
    compile_model(model, parse_target("llvm", 1), None, tmp_path / "net.tar")
    result = verify(model, load_artifact(tmp_path / "net.tar"), example_inputs(model))
    assert result.first_wrong is None
    allowed = {one.value: (one.tolerance, one.tolerance_alone) for one in result.outputs}
    assert allowed["free"] == (COMPILED.float32, ALONE * COMPILED.float32)
    assert allowed["y"][0] == BEHIND_INTEGERS


@pytest.mark.parametrize(("steps", "wrong"), [(0, False), (1, False), (2, False), (4, True)])
def test_a_layer_that_rounds_may_be_two_steps_off(steps: int, wrong: bool) -> None:
    graph = onnx.parser.parse_model(TEXT).graph
    expected = {name: np.full((1, 3, 7, 5), -128, np.int8) for name in ("q", "d", "y", "free", "a")}
    references = verifying._References(expected, expected, {}, "")
    judge = verifying._Judge(graph, references, {}, frozenset(), values_behind(graph), None)
    off = expected["q"].copy()
    off[0, 1, 2, 3] += steps
    found = judge.check_output("q", off)
    assert (found.wrong, found.at_fault) == (wrong, wrong)
    assert judge.check_output("q", off + np.int8(100)).wrong


@pytest.mark.slow
def test_a_network_whose_values_lie_at_borders(tmp_path: Path) -> None:
    """ResNet-8 in integers, by others: in float, one value inside of it rounds to the next step."""
    model = load_model(str(real_model("tflite/image_classification.tflite")))
    compile_model(model, parse_target("llvm", 1), None, tmp_path / "net.tar")
    result = verify(model, load_artifact(tmp_path / "net.tar"), example_inputs(model))
    assert result.first_wrong is None
    assert max(one.errors[ONNXRUNTIME].relative for one in result.checks) > COMPILED.float32
