"""The form that is quantised: the same function, plainly written; and models that cannot be quantised."""

from __future__ import annotations

import numpy as np
import pytest

from tests.onnx_models import OnnxModel
from tests.pipeline.quantize.networks import classifier, feeds, imported, imported_classifier
from tests.quantised import residual
from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.quantize.float_form import float_form, has_attention
from tvmopt.pipeline.support.onnxruntime import run_model


def test_batchnorm_is_folded_and_nothing_else_changes() -> None:
    original = imported_classifier().original
    model = float_form(original)
    operators = [node.op_type for node in model.graph.node]
    assert "BatchNormalization" not in operators
    assert operators.count("Conv") == 3
    assert [value.name for value in model.graph.output] == ["y"]
    names = [node.name for node in model.graph.node]
    assert "" not in names
    assert len(set(names)) == len(names)
    for feed in feeds(imported_classifier(), 2):
        right, got = run_model(original, feed)["y"], run_model(model, feed)["y"]
        np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-5)


def test_an_old_operator_set_is_converted() -> None:
    old = classifier()
    old.opset_import[0].version = 9
    model = float_form(imported(old).original)
    assert model.opset_import[0].version >= 13


def test_a_quantised_model_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"is quantised already \(\d+ DequantizeLinear, \d+ QuantizeLinear"):
        float_form(imported(residual(8, 16)).original)


def test_without_products_there_is_nothing_to_quantise(onnx_model: OnnxModel) -> None:
    model = onnx_model(("Relu", "x", "r"), ("Sigmoid", "r", "y"), inputs={"x": (1, 4)}, outputs="y")
    with pytest.raises(UnsupportedModelError, match="nothing to quantise: .*; the model has Relu, Sigmoid"):
        float_form(imported(model).original)


def test_recurrent_layers_alone_are_not_enough(onnx_model: OnnxModel) -> None:
    random = np.random.default_rng(0)
    model = onnx_model(
        ("LSTM", "x w r", "y", {"hidden_size": 4}),
        inputs={"x": (3, 1, 2)},
        outputs="y",
        w=random.standard_normal((1, 16, 2), np.float32),
        r=random.standard_normal((1, 16, 4), np.float32),
    )
    with pytest.raises(UnsupportedModelError, match="NNCF does not quantise LSTM"):
        float_form(imported(model).original)


def test_attention_is_recognised(onnx_model: OnnxModel) -> None:
    attention = onnx_model(
        ("MatMul", "q k", "s"),
        ("Softmax", "s", "p"),
        ("Reshape", "p shape", "pr"),
        ("MatMul", "pr v", "y"),
        inputs={"q": (2, 3, 4), "k": (2, 4, 5), "v": (2, 5, 4)},
        outputs="y",
        shape=np.array([2, 3, 5]),
    )
    assert has_attention(attention)
    assert not has_attention(classifier())


def test_a_bias_that_is_computed_is_added_apart(onnx_model: OnnxModel) -> None:
    model = onnx_model(
        ("Gemm", "x w z", "g"),
        ("Relu", "g", "y"),
        inputs={"x": (3, 4), "z": (3, 2)},
        outputs="y",
        w=np.random.default_rng(0).standard_normal((4, 2), np.float32),
    )
    made = float_form(imported(model).original)
    assert [node.op_type for node in made.graph.node] == ["Gemm", "Add", "Relu"]
    (feed,) = feeds(imported(model), 1)
    np.testing.assert_allclose(run_model(made, feed)["y"], run_model(model, feed)["y"], rtol=1e-6, atol=1e-6)


def test_computed_weights_are_refused(onnx_model: OnnxModel) -> None:
    model = onnx_model(("Conv", "x w", "y"), inputs={"x": (1, 4, 9, 9), "w": (3, 4, 3, 3)}, outputs="y")
    with pytest.raises(UnsupportedModelError, match="layer 'Conv0' computes its weights"):
        float_form(imported(model).original)
