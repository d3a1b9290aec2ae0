"""Layers of Caffe's branches and recurrent layers beside numpy, written as Caffe computes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.importers.caffe.files import input_text, layer_text, random_array, save_caffe
from tests.pipeline.importers.caffe.test_layers import imported
from tvmopt.pipeline.errors import InputFileError, UnsupportedModelError
from tvmopt.pipeline.importers.caffe.build import import_caffe
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
from tvmopt.pipeline.support.onnxruntime import run_model

STEPS, BATCH, WIDTH, HIDDEN = 5, 3, 4, 2
MARKS = np.ones((STEPS, BATCH), np.float32)
MARKS[0] = MARKS[2, 1] = MARKS[3, 0] = 0


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def lstm(x: np.ndarray, still: np.ndarray | None, blobs: list[np.ndarray]) -> np.ndarray:
    h = c = np.zeros((BATCH, HIDDEN), np.float32)
    states = []
    for step in range(STEPS):
        mark = MARKS[step][:, None]
        gates = x[step] @ blobs[0].T + blobs[1] + (h * mark) @ blobs[-1].T
        if still is not None:
            gates = gates + still @ blobs[2].T
        i, f, o, g = np.split(gates, 4, axis=1)
        c = mark * sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.stack(states)


def rnn(x: np.ndarray, blobs: list[np.ndarray]) -> np.ndarray:
    h = np.zeros((BATCH, HIDDEN), np.float32)
    outputs = []
    for step in range(STEPS):
        h = np.tanh(x[step] @ blobs[0].T + blobs[1] + (h * MARKS[step][:, None]) @ blobs[2].T)
        outputs.append(np.tanh(h @ blobs[3].T + blobs[4]))
    return np.stack(outputs)


@pytest.mark.parametrize("still", [False, True])
def test_lstm_begins_anew_where_the_marks_say(still: bool, tmp_path: Path) -> None:
    blobs = [random_array(1, 4 * HIDDEN, WIDTH), random_array(2, 4 * HIDDEN)]
    blobs += [random_array(4, 4 * HIDDEN, 6)] if still else []
    blobs.append(random_array(3, 4 * HIDDEN, HIDDEN))
    text = input_text(STEPS, BATCH, WIDTH, name="x") + input_text(STEPS, BATCH, name="cont")
    text += input_text(BATCH, 6, name="still") if still else ""
    rest = f"recurrent_param {{ num_output: {HIDDEN} }}"
    text += layer_text("LSTM", "l", "x cont still" if still else "x cont", "h", rest)
    inputs = {"x": random_array(5, STEPS, BATCH, WIDTH) * 4, "cont": MARKS}
    inputs |= {"still": random_array(6, BATCH, 6)} if still else {}
    model = import_caffe(save_caffe(tmp_path, text, {"l": blobs}), ShapeRequest())
    (found,) = run_model(model, inputs).values()
    np.testing.assert_allclose(found, lstm(inputs["x"], inputs.get("still"), blobs), rtol=1e-4, atol=1e-6)


def test_rnn_begins_anew_where_the_marks_say(tmp_path: Path) -> None:
    shapes = ((HIDDEN, WIDTH), (HIDDEN,), (HIDDEN, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN,))
    blobs = [random_array(place, *shape) for place, shape in enumerate(shapes)]
    text = input_text(STEPS, BATCH, WIDTH, name="x") + input_text(STEPS, BATCH, name="cont")
    text += layer_text("RNN", "l", "x cont", "h", f"recurrent_param {{ num_output: {HIDDEN} }}")
    x = random_array(9, STEPS, BATCH, WIDTH) * 4
    model = import_caffe(save_caffe(tmp_path, text, {"l": blobs}), ShapeRequest())
    (found,) = run_model(model, {"x": x, "cont": MARKS}).values()
    np.testing.assert_allclose(found, rnn(x, blobs), rtol=1e-4, atol=1e-6)


def test_recurrent_layers_that_are_refused(tmp_path: Path) -> None:
    head = input_text(STEPS, BATCH, WIDTH, name="x") + input_text(STEPS, BATCH, name="cont")
    blobs = {"l": [random_array(1, 4 * HIDDEN, WIDTH), random_array(2, 4 * HIDDEN)]}
    for rest, kind, reason in (
        ("num_output: 2 expose_hidden: true", UnsupportedModelError, "expose_hidden"),
        ("num_output: 0", InputFileError, "0 states"),
        ("num_output: 2", InputFileError, "needs at least 3 blobs"),
    ):
        path = save_caffe(
            tmp_path, head + layer_text("LSTM", "l", "x cont", "h", f"recurrent_param {{ {rest} }}"), blobs
        )
        with pytest.raises(kind, match=reason):
            import_caffe(path, ShapeRequest())


def test_reorg_reads_memory_as_darknet_does(tmp_path: Path) -> None:
    x, stride = random_array(1, 2, 8, 4, 6), 2
    batch, channels, height, width = x.shape
    expected, flat, fewer = np.empty(x.size, np.float32), x.reshape(-1), channels // stride**2
    for b, k, j, i in np.ndindex(x.shape):
        offset, c = divmod(k, fewer)
        w, h = i * stride + offset % stride, j * stride + offset // stride
        place = w + width * stride * (h + height * stride * (c + fewer * b))
        expected[i + width * (j + height * (k + channels * b))] = flat[place]
    layer = layer_text("Reorg", "r", "data", "r", f"reorg_param {{ stride: {stride} }}")
    path = save_caffe(tmp_path, input_text(*x.shape) + layer + _scaled("r"), _ONE)
    assert np.array_equal(imported(path, x), expected.reshape(batch, channels * 4, height // 2, width // 2))


@pytest.mark.parametrize(
    ("kind", "rest", "expected"),
    [
        ("Clip", "clip_param { min: -0.3 max: 0.2 }", lambda x: np.clip(x, -0.3, 0.2)),
        ("Swish", "swish_param { beta: 1.5 }", lambda x: x * sigmoid(1.5 * x)),
        ("ReLU6", "", lambda x: np.clip(x, 0, 6)),
    ],
)  # fmt: skip
def test_activations(kind: str, rest: str, expected: object, tmp_path: Path) -> None:
    x = random_array(1, 2, 3, 4, 5) * 9
    path = save_caffe(tmp_path, input_text(*x.shape) + layer_text(kind, "a", "data", "a", rest) + _scaled("a"), _ONE)
    assert callable(expected)
    np.testing.assert_allclose(imported(path, x), expected(x), rtol=1e-5, atol=1e-6)


_ONE = {"s": [np.ones(1, np.float32)]}


def _scaled(bottom: str) -> str:
    """A layer with weights, as each .caffemodel has some."""
    return layer_text("Scale", "s", bottom, "s", "scale_param { num_axes: 0 }")


@pytest.mark.parametrize("kind", ["Axpy", "ShuffleChannel", "PReLU", "Normalize", "DetectionOutput", "LSTM"])
def test_layers_of_maps_refuse_a_row(kind: str, tmp_path: Path) -> None:
    layer = layer_text(kind, "a", "data data data", "a")
    path = save_caffe(tmp_path, input_text(3) + layer + _scaled("a"), _ONE)
    with pytest.raises(InputFileError, match="layer 'a'"):
        import_caffe(path, ShapeRequest())
