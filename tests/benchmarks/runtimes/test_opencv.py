"""Which of a Caffe network's forms OpenCV runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.pipeline.importers.caffe.files import input_text, layer_text, random_array, save_caffe
from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.benchmarks.runtimes.opencv.runner import CAFFE, RunOpencv
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.support.npz import save_arrays
from tvmopt.pipeline.support.onnxruntime import run_model


@pytest.mark.parametrize(
    ("last", "read"),
    [
        (("Eltwise", "e", "a data", "y"), "the Caffe network's own files"),
        (
            ("Axpy", "e", "f a data", "y"),
            "the ONNX form, since it computes Axpy of the Caffe network",
        ),
    ],
)
def test_it_runs_the_form_that_it_computes_rightly(tmp_path: Path, last: tuple[str, ...], read: str) -> None:
    pytest.importorskip("cv2")
    text = input_text(1, 3, 7, 5)
    text += layer_text("Pooling", "p", "data", "f", "pooling_param { pool: AVE global_pooling: true }")
    text += layer_text("Convolution", "c", "data", "a", "convolution_param { num_output: 3 kernel_size: 1 }")
    path = save_caffe(tmp_path, text + layer_text(*last), {"c": [random_array(1, 3, 3, 1, 1), random_array(2, 3)]})
    model = load_model(str(path)).original
    onnx.save(model, tmp_path / "net.onnx")
    inputs = {"data": random_array(3, 1, 3, 7, 5)}
    save_arrays(tmp_path / "in.npz", inputs)
    names = tuple(value.name for value in model.graph.output)
    source = {"kind": CAFFE, "path": str(path)}
    runner = RunOpencv()
    runner.open_library()
    runner.load(Job(str(tmp_path / "net.onnx"), str(tmp_path / "in.npz"), names, 1, 1, str(tmp_path), source))
    runner.run()
    assert runner.settings["read from"].startswith(read)
    expected = run_model(model, inputs)
    for name, made in zip(names, runner.read_outputs(), strict=True):
        np.testing.assert_allclose(made, expected[name], rtol=1e-5, atol=1e-6)
