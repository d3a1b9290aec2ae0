"""Old operator sets: converting to a newer one changes no value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from tvmopt.pipeline.importers import example_inputs
from tvmopt.pipeline.importers.onnx_form.operators import standard_opset
from tvmopt.pipeline.importers.onnx_form.upgrade import OLDEST_OPSET
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.types import ImportedModel

UP = np.array([1, 1, 2, 3], np.float32)
HALF = np.array([1, 1, 1.5, 1], np.float32)
ODD = np.array([1, 1, 1.5, 0.6], np.float32)


@pytest.mark.parametrize(
    ("graph", "opset", "constants"),
    [
        ("float[1,2,4,5] x) => (float[1,2,8,15] y) { y = Upsample<mode=%linear%>(x, s) }", 9, {"s": UP}),
        ("float[1,2,4,5] x) => (float[1,2,8,15] y) { y = Upsample<mode=%nearest%>(x, s) }", 9, {"s": UP}),
        ("float[1,2,4,5] x) => (float[1,2,6,5] y) { y = Upsample<mode=%nearest%>(x, s) }", 9, {"s": HALF}),
        ("float[1,2,4,5] x) => (float[1,2,8,5] y) { y = Upsample<mode=%linear%, scales=[1.0,1.0,2.0,1.0]>(x) }", 7, {}),
        ("float[1,2,4,5] x) => (float[1,2,8,15] y) { y = Resize<mode=%linear%>(x, s) }", 10, {"s": UP}),
        ("float[1,2,4,5] x) => (float[1,2,6,3] y) { y = Resize<mode=%nearest%>(x, s) }", 10, {"s": ODD}),
        *(
            (f"float[2,3,4] x) => (float[2,3,4] y) {{ y = Hardmax<axis={axis}>(x) }}", opset, {})
            for axis in (0, 1, 2)
            for opset in (7, 11)
        ),
        ("float[2,3,4] x) => (float[2,3,4] y) { y = Hardmax(x) }", 11, {}),
        ("float[2,3,4] x) => (float[2,3,4] y, bool[2,3,4] m) { y, m = Dropout<ratio=0.5>(x) }", 10, {}),
        ("float[2,3,4] x) => (float[2,3,4] y) { y, m = Dropout<ratio=0.5>(x) }", 7, {}),
        ("float[2,3,4] x) => (float[2,3,4] y) { y = Softmax<axis=1>(x) }", 9, {}),
    ],
)
def test_the_newer_form_computes_the_same(
    parse: Callable[..., onnx.ModelProto],
    imported: Callable[[onnx.ModelProto], ImportedModel],
    graph: str,
    opset: int,
    constants: dict[str, np.ndarray],
) -> None:
    model = imported(parse(f"g ({graph}".replace("%", '"'), opset, **constants))
    assert standard_opset(model.normalized) == OLDEST_OPSET
    inputs = example_inputs(model, seed=2)
    expected, made = run_model(model.original, inputs), run_model(model.normalized, inputs)
    for name, array in expected.items():
        np.testing.assert_allclose(made[name], array, rtol=1e-6, atol=1e-6)
