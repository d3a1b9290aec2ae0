"""Quantising with NNCF: what comes out computes nearly the same, is the same each time, and keeps to its bits."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.onnx_models import OnnxModel
from tests.pipeline.quantize.networks import classifier, feeds, imported, imported_classifier
from tvmopt.pipeline.errors import CancelledError, RuntimeMissingError, TvmoptError, UnsupportedModelError, UsageError
from tvmopt.pipeline.quantize.quantize_model import QuantizedModel, QuantizeOptions, quantize_model, step_count
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.support.progress import Event, Listener, PartDone, StepBegan, Steps
from tvmopt.pipeline.types import ImportedModel

pytest.importorskip("nncf")


class GivenFeeds(list[dict[str, np.ndarray]]):
    """Feeds that are all there."""

    skipped = 0


def quantized(model: ImportedModel, listener: Listener | None = None, **options: object) -> QuantizedModel:
    made = QuantizeOptions(GivenFeeds(feeds(model)), **options)  # type: ignore[arg-type]
    return quantize_model(model, made, Path("net.int8.onnx"), Steps(listener))


def weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Weights of int8, by the names that they had as floats."""
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return {name.split("_")[2]: array for name, array in tensors.items() if array.dtype == np.int8 and array.ndim > 1}


def test_a_network(capfd: pytest.CaptureFixture[str]) -> None:
    model = imported_classifier()
    heard: list[Event] = []
    found = quantized(model, Listener(heard.append))
    assert [layer.is_quantized for layer in found.layers] == [True] * 4
    assert [layer.operator for layer in found.layers] == ["Conv", "Conv", "Conv", "Gemm"]
    before, after = found.weights_nbytes
    assert after < 0.5 * before
    signal = noise = 0.0
    for feed in feeds(model):
        right, got = run_model(model.original, feed)["y"], run_model(found.model.original, feed)["y"]
        signal, noise = signal + float((right**2).sum()), noise + float(((got - right) ** 2).sum())
    assert 10 * np.log10(signal / noise) == pytest.approx(found.outputs["y"].decibels, abs=0.01)
    assert found.outputs["y"].decibels > 15
    assert found.model.outputs[0].shape == (1, 5)
    steps = [event for event in heard if isinstance(event, StepBegan)]
    assert len(steps) == step_count(QuantizeOptions(GivenFeeds()))
    assert sum(isinstance(event, PartDone) for event in heard) >= 6
    assert capfd.readouterr() == ("", ""), "NNCF prints nothing"


def test_the_same_each_time() -> None:
    first, second = (quantized(imported_classifier()).model for _ in range(2))
    assert first.sha256 == second.sha256


def test_bits_of_weights() -> None:
    full = weights(quantized(imported_classifier()).model.original)
    narrow = weights(quantized(imported_classifier(), weight_bits=7).model.original)
    assert {name: np.abs(array.astype(int)).max() for name, array in full.items()} == dict.fromkeys(full, 127)
    widest = {array.shape: np.abs(array.astype(int)).max() for array in narrow.values()}
    assert widest.pop((8, 1, 3, 3)) == 127, "sums of a depthwise convolution never saturate"
    assert len(widest) == 3
    assert max(widest.values()) <= 64


def test_layers_that_are_to_stay_in_float() -> None:
    found = quantized(imported_classifier(), in_float=("Conv5",))
    kept = {layer.layer: layer.in_float for layer in found.layers if not layer.is_quantized}
    assert kept == {"Conv5": "as asked for"}
    with pytest.raises(UsageError, match="the model has no layer 'nowhere'"):
        quantized(imported_classifier(), in_float=("nowhere",))


def test_a_batch_and_two_inputs(onnx_model: OnnxModel) -> None:
    found = quantized(imported(classifier(batch=2)))
    assert found.model.inputs[0].shape == (2, 3, 12, 12)
    random = np.random.default_rng(0)
    two = onnx_model(
        ("MatMul", "x w", "a"),
        ("Add", "a z", "s"),
        ("MatMul", "s v", "y"),
        inputs={"x": (3, 6), "z": (3, 4)},
        outputs="y",
        w=random.standard_normal((6, 4), np.float32),
        v=random.standard_normal((4, 2), np.float32),
    )
    assert quantized(imported(two)).outputs["y"].decibels > 10


def test_attention_has_errors_alone_too(capfd: pytest.CaptureFixture[str], onnx_model: OnnxModel) -> None:
    """NNCF multiplies the inputs of products in transformers by numbers, which the original does not have."""
    random = np.random.default_rng(0)
    weights = {name: random.standard_normal((8, 8), np.float32) for name in ("wq", "wk", "wv", "wo")}
    model = onnx_model(
        ("MatMul", "x wq", "q"),
        ("MatMul", "x wk", "k"),
        ("MatMul", "x wv", "v"),
        ("Transpose", "k", "kt", {"perm": [0, 2, 1]}),
        ("MatMul", "q kt", "s"),
        ("Softmax", "s", "p", {"axis": -1}),
        ("MatMul", "p v", "o"),
        ("MatMul", "o wo", "y"),
        inputs={"x": (1, 6, 8)},
        outputs="y",
        **weights,
    )
    found = quantized(imported(model))
    assert len(found.layers) == 6
    alone = [layer.alone.decibels for layer in found.layers if layer.alone is not None]
    assert len(alone) == sum(layer.is_quantized for layer in found.layers) >= 4
    assert min(alone) > 10
    assert capfd.readouterr().err == ""


def test_shared_weights(capfd: pytest.CaptureFixture[str], onnx_model: OnnxModel) -> None:
    model = onnx_model(
        ("Conv", "x w", "a", {"pads": [1] * 4}),
        ("Relu", "a", "b"),
        ("Conv", "b w", "y", {"pads": [1] * 4}),
        inputs={"x": (1, 4, 8, 8)},
        outputs="y",
        w=np.random.default_rng(0).standard_normal((4, 4, 3, 3), np.float32),
    )
    assert quantized(imported(model)).outputs["y"].decibels > 20
    assert capfd.readouterr().err == "", "onnxruntime is quiet, too"


def test_grouped_convolutions_and_recurrent_layers_say_why(onnx_model: OnnxModel) -> None:
    random = np.random.default_rng(0)
    model = onnx_model(
        ("Conv", "x w g", "a", {"group": 2}),
        ("Relu", "a", "r"),
        ("Conv", "r v", "c"),
        ("Reshape", "c shape", "s"),
        ("LSTM", "s lw lr", "y", {"hidden_size": 2}),
        inputs={"x": (1, 4, 6, 6)},
        outputs="y",
        w=random.standard_normal((8, 2, 3, 3), np.float32),
        g=random.standard_normal(8).astype(np.float32),
        v=random.standard_normal((3, 8, 1, 1), np.float32),
        shape=np.array([16, 1, 3]),
        lw=random.standard_normal((1, 8, 3), np.float32),
        lr=random.standard_normal((1, 8, 2), np.float32),
    )
    found = quantized(imported(model))
    reasons = {layer.operator: layer.in_float for layer in found.layers if not layer.is_quantized}
    assert reasons["LSTM"] == "NNCF does not quantise LSTM"


def test_a_cancelled_job_ends_at_the_next_sample() -> None:
    heard: list[PartDone] = []

    def hear(event: Event) -> None:
        if isinstance(event, PartDone):
            heard.append(event)
            listener.cancel()

    listener = Listener(hear)
    with pytest.raises(CancelledError):
        quantized(imported_classifier(), listener)
    assert len(heard) == 1


def test_errors_of_samples_arrive_as_they_are() -> None:
    class Failing(GivenFeeds):
        def __iter__(self):  # type: ignore[no-untyped-def]
            raise UnsupportedModelError("the sample says so")

    made = QuantizeOptions(Failing(feeds(imported_classifier())))
    with pytest.raises(TvmoptError, match="^the sample says so$"):
        quantize_model(imported_classifier(), made, Path("net.onnx"), Steps())


def test_without_nncf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(RuntimeMissingError, match=r"needs NNCF: pip install 'tvmopt\[quantize\]'"):
        quantized(imported_classifier())
