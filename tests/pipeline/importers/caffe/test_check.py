"""The check of an import against OpenCV."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.conftest import RunTvmopt
from tests.pipeline.importers.caffe.files import input_text, layer_text, random_array, save_caffe
from tests.pipeline.importers.samples import save_caffe as save_sample
from tvmopt.pipeline.errors import WrongResultError
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.importers.base import OnnxForm, UncheckedError
from tvmopt.pipeline.importers.caffe.build import import_caffe
from tvmopt.pipeline.importers.caffe.check import check_against_opencv
from tvmopt.pipeline.importers.caffe.pair import find_pair
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
from tvmopt.pipeline.support.onnxruntime import run_model

needs_opencv = pytest.mark.skipif(
    importlib.util.find_spec("cv2") is None, reason="opencv-python-headless is not installed"
)


def form_of(path: Path) -> OnnxForm:
    return OnnxForm(import_caffe(path, ShapeRequest()), None, program=find_pair(path))


def changed(model: onnx.ModelProto, node: str) -> onnx.ModelProto:
    """`model` with other weights in the node called `node`."""
    weights = next(one.input[1] for one in model.graph.node if one.name == node)
    for tensor in model.graph.initializer:
        if tensor.name == weights:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.01), weights))
    return model


@needs_opencv
def test_an_import_is_checked_against_opencv(tmp_path: Path) -> None:
    assert load_model(save_sample(tmp_path)).checked_against.startswith("OpenCV 4.")


@needs_opencv
def test_a_wrong_layer_is_named(tmp_path: Path) -> None:
    layers = layer_text("Convolution", "first", "data", "a", "convolution_param { num_output: 4 kernel_size: 3 }")
    layers += layer_text("ReLU", "r", "a", "a")
    layers += layer_text("Convolution", "second", "a", "y", "convolution_param { num_output: 2 kernel_size: 1 }")
    arrays = {name: [random_array(1, *shape), random_array(2, shape[0])] for name, shape in SHAPES.items()}
    form = form_of(save_caffe(tmp_path, input_text(1, 3, 7, 5) + layers, arrays))
    assert check_against_opencv(form).startswith("OpenCV")
    changed(form.model, "second")
    with pytest.raises(WrongResultError, match=r"'y' of the ONNX form differs from OpenCV .* from layer 'second' on"):
        check_against_opencv(form)


SHAPES = {"first": (4, 3, 3, 3), "second": (2, 4, 1, 1)}


@needs_opencv
def test_what_opencv_computes_otherwise_is_left_out_and_said(tmp_path: Path) -> None:
    layers = layer_text("Convolution", "first", "data", "a", "convolution_param { num_output: 4 kernel_size: 3 }")
    layers += layer_text("Log", "l", "a", "y", "log_param { base: 10 scale: 3 shift: 200 }")
    arrays = {"first": [random_array(1, 4, 3, 3, 3), random_array(2, 4)]}
    form = form_of(save_caffe(tmp_path, input_text(1, 3, 7, 5) + layers, arrays))
    assert check_against_opencv(form).endswith(", but for Log")
    changed(form.model, "first")
    with pytest.raises(WrongResultError, match="'a' of the ONNX form"):
        check_against_opencv(form)


@needs_opencv
def test_what_axpy_multiplies(tmp_path: Path) -> None:
    """OpenCV agrees if the blobs that the layer adds and multiplies change places in its file."""
    (tmp_path / "swapped").mkdir()
    factors = layer_text("Pooling", "factors", "data", "f", "pooling_param { pool: AVE global_pooling: true }")
    factors += layer_text("Convolution", "first", "data", "a", "convolution_param { num_output: 3 kernel_size: 1 }")
    arrays = {"first": [random_array(1, 3, 3, 1, 1), random_array(2, 3)]}
    ours, theirs = (
        save_caffe(folder, input_text(1, 3, 7, 5) + factors + layer_text("Axpy", "axpy", bottoms, "y"), arrays)
        for folder, bottoms in ((tmp_path, "f a data"), (tmp_path / "swapped", "f data a"))
    )
    form = form_of(ours)
    assert check_against_opencv(form).endswith(", but for Axpy")
    image = random_array(3, 1, 3, 7, 5)
    (made,) = run_model(form.model, {"data": image}).values()
    reader = importlib.import_module("cv2").dnn.readNetFromCaffe(str(theirs), str(theirs.with_suffix(".caffemodel")))
    reader.setInput(image)
    np.testing.assert_allclose(made, reader.forward(), rtol=1e-5, atol=1e-6)
    load_model(str(ours))


@needs_opencv
def test_layers_that_opencv_lacks_end_no_import(tmp_path: Path) -> None:
    layers = layer_text("ArgMax", "a", "data", "y", "argmax_param { axis: 1 }")
    path = save_caffe(tmp_path, input_text(1, 3, 5, 4) + layers, {"a": [np.ones(1)]})
    with pytest.raises(UncheckedError, match=r"^OpenCV 4\.[0-9.]+ does not run it: .*ArgMax"):
        check_against_opencv(form_of(path))
    model = load_model(str(path))
    assert model.checked_against == ""
    assert "does not run it" in model.unchecked


def test_without_opencv_nothing_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cv2" else find(name))
    path = Path(save_sample(tmp_path))
    assert check_against_opencv(changed_form(path)) == ""


def changed_form(path: Path) -> OnnxForm:
    form = form_of(path)
    changed(form.model, "c")
    return form


@needs_opencv
@pytest.mark.slow
def test_a_comparison_says_it_and_runs_opencv_on_the_files(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    save_sample(tmp_path)
    done = run_tvmopt("compare", "net.prototxt", "--runtimes", "onnxruntime,opencv", "--rounds", "5", "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert "OpenCV" in done.stdout
    assert "wrong" not in done.stdout
    assert "The import computes what OpenCV 4." in " ".join(done.stdout.split())
