"""Errors of quantised layers, against numpy and onnxruntime on the values themselves."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest

from tests.onnx_models import OnnxModel, make_model
from tests.pipeline.quantize.networks import feeds
from tvmopt.pipeline.importers.check.normalized import with_outputs
from tvmopt.pipeline.quantize.layer_errors import measure_errors
from tvmopt.pipeline.quantize.layers import TAKEN_BACK, layer_reports
from tvmopt.pipeline.quantize.types import Noise
from tvmopt.pipeline.support.onnxruntime import run_model

RANDOM = np.random.default_rng(0)
W1, W2 = (RANDOM.standard_normal((5, 7), np.float32), RANDOM.standard_normal((7, 3), np.float32))
SCALES = {"s1": np.float32(0.05), "s2": np.float32(0.11), "t1": np.float32(0.02), "t2": np.float32(0.03)}


def rounded(array: np.ndarray, scale: np.float32) -> np.ndarray:
    """`array` as int8 of a scale, and back."""
    return (np.clip(np.rint(array / scale), -128, 127) * scale).astype(np.float32)


def original() -> onnx.ModelProto:
    """Two products with a ReLU and another form between."""
    return make_model(
        ("MatMul", "x w1", "a"),
        ("Relu", "a", "r"),
        ("Reshape", "r shape", "v"),
        ("MatMul", "v w2", "y"),
        inputs={"x": (2, 5)},
        outputs="y",
        w1=W1,
        w2=W2,
        shape=np.array([2, 7]),
    )


def in_qdq() -> onnx.ModelProto:
    """The same in QDQ form: the second product's input is rounded before it gets another form."""
    return make_model(
        ("QuantizeLinear", "x s1 z", "xq"),
        ("DequantizeLinear", "xq s1 z", "xd"),
        ("DequantizeLinear", "w1q t1 z", "w1d"),
        ("MatMul", "xd w1d", "a"),
        ("Relu", "a", "r"),
        ("QuantizeLinear", "r s2 z", "rq"),
        ("DequantizeLinear", "rq s2 z", "rd"),
        ("Reshape", "rd shape", "v"),
        ("DequantizeLinear", "w2q t2 z", "w2d"),
        ("MatMul", "v w2d", "y"),
        inputs={"x": (2, 5)},
        outputs="y",
        opset=18,
        shape=np.array([2, 7]),
        z=np.int8(0),
        w1q=np.clip(np.rint(W1 / SCALES["t1"]), -128, 127).astype(np.int8),
        w2q=np.clip(np.rint(W2 / SCALES["t2"]), -128, 127).astype(np.int8),
        **SCALES,
    )


def renamed(model: onnx.ModelProto, names: dict[str, str]) -> onnx.ModelProto:
    """`model` with other names of nodes, by their results."""
    for node in model.graph.node:
        node.name = names.get(node.output[0], node.name)
    return model


def energy(array: np.ndarray) -> float:
    return float(np.square(array.astype(np.float64)).sum())


def test_errors_alone_and_in_the_model() -> None:
    names = {"a": "first", "y": "second"}
    floats, integers = renamed(original(), names), renamed(in_qdq(), names)
    inputs = [{"x": RANDOM.standard_normal((2, 5), np.float32)} for _ in range(3)]
    layers = layer_reports(floats, integers, integers, ())
    assert [(layer.layer, layer.is_quantized) for layer in layers] == [("first", True), ("second", True)]
    (first, second), outputs = measure_errors(layers, floats, integers, inputs)

    expected = {name: [0.0, 0.0] for name in ("first", "second", "second alone")}
    w1, w2 = rounded(W1, SCALES["t1"]), rounded(W2, SCALES["t2"])
    for feed in inputs:
        x = feed["x"]
        a = x @ W1
        y = np.maximum(a, 0) @ W2
        a_whole = rounded(x, SCALES["s1"]) @ w1
        y_whole = rounded(np.maximum(a_whole, 0), SCALES["s2"]) @ w2
        y_alone = rounded(np.maximum(a, 0), SCALES["s2"]) @ w2
        for name, right, got in (("first", a, a_whole), ("second", y, y_whole), ("second alone", y, y_alone)):
            expected[name][0] += energy(right)
            expected[name][1] += energy(got - right)
    for noise, name in (
        (first.whole, "first"),
        (first.alone, "first"),
        (second.whole, "second"),
        (second.alone, "second alone"),
        (outputs["y"], "second"),
    ):
        assert noise is not None
        signal, lost = expected[name]
        assert noise.decibels == pytest.approx(10 * math.log10(signal / lost), abs=1e-3)
    assert second.alone != second.whole


def test_against_onnxruntime_layer_by_layer() -> None:
    pytest.importorskip("nncf")
    from tests.pipeline.quantize.networks import imported_classifier
    from tvmopt.pipeline.quantize.float_form import float_form
    from tvmopt.pipeline.quantize.through_nncf import NncfOptions, quantized

    model = imported_classifier()
    floats = float_form(model.original)
    inputs = feeds(model)
    integers = quantized(floats, NncfOptions(inputs))
    layers, _ = measure_errors(layer_reports(floats, integers, integers, ()), floats, integers, inputs[:2])
    made = {node.name: node.output[0] for node in floats.graph.node}
    values = [made[layer.layer] for layer in layers]
    sums = {value: np.zeros(2) for value in values}
    for feed in inputs[:2]:
        right, got = (run_model(with_outputs(form, values), feed, values) for form in (floats, integers))
        for value in values:
            sums[value] += energy(right[value]), energy(got[value] - right[value])
    assert len(layers) == 4
    for layer in layers:
        signal, lost = sums[made[layer.layer]]
        assert layer.is_quantized
        assert layer.whole is not None
        assert layer.alone is not None
        assert layer.whole.decibels == pytest.approx(10 * math.log10(signal / lost), abs=0.01)
        assert 20 < layer.alone.decibels < 60


def test_what_stays_in_float_and_why(onnx_model: OnnxModel) -> None:
    floats, integers = original(), in_qdq()
    names = [node.name for node in floats.graph.node if node.op_type == "MatMul"]
    half = onnx_model(
        ("QuantizeLinear", "x s1 z", "xq"),
        ("DequantizeLinear", "xq s1 z", "xd"),
        ("DequantizeLinear", "w1q t1 z", "w1d"),
        ("MatMul", "xd w1d", "a"),
        ("Relu", "a", "r"),
        ("Reshape", "r shape", "v"),
        ("MatMul", "v w2", "y"),
        inputs={"x": (2, 5)},
        outputs="y",
        w1q=np.zeros((5, 7), np.int8),
        w2=W2,
        z=np.int8(0),
        shape=np.array([2, 7]),
        **SCALES,
    )
    renamed(floats, {"a": "first", "y": "second"})
    renamed(integers, {"a": "first", "y": "second"})
    renamed(half, {"a": "first", "y": "second"})
    assert names == ["MatMul0", "MatMul3"]
    assert [layer.in_float for layer in layer_reports(floats, half, integers, ())] == ["", TAKEN_BACK]
    (_, second) = layer_reports(floats, half, half, ("second",))
    assert second.in_float == "as asked for"
    feed = {"x": np.ones((2, 5), np.float32)}
    (_, second), _ = measure_errors(layer_reports(floats, half, half, ()), floats, half, [feed])
    assert (second.alone, second.whole) == (None, None)
    assert second.to_json() == {
        "layer": "second",
        "operator": "MatMul",
        "quantized": False,
        "in_float": "NNCF's rules leave it in float",
        "sqnr_alone_db": None,
        "sqnr_db": None,
    }


def test_decibels() -> None:
    assert Noise(100.0, 1.0).decibels == pytest.approx(20.0)
    assert Noise(1.0, 0.0).decibels == math.inf
    assert Noise(0.0, 0.0).decibels == math.inf
    assert Noise(0.0, 1.0).decibels == -math.inf
