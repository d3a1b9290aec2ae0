"""``tvmopt quantize`` as a user runs it: the file, the report, Ctrl-C, and bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests import tiny
from tests.conftest import RunTvmopt
from tests.pipeline.quantize.networks import classifier
from tests.quantised import residual
from tvmopt.cli import main

pytest.importorskip("nncf")
pytestmark = pytest.mark.slow  # a process or two for each test


@pytest.fixture(name="net")
def _net(tmp_path: Path) -> Path:
    onnx.save(classifier(), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


@pytest.mark.usefixtures("net")
def test_a_model_is_quantised(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    done = run_tvmopt("quantize", "net.onnx", "-o", "out.onnx", "--samples", "5", "--weights", "7", "--json", "r.json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["layer", "operator", "alone,", "dB", "in", "the", "model,", "dB"]
    assert "4 of 4 layers are quantised" in lines
    assert "ranges of values from 5 random crops of scikit-learn's two sample photographs" in lines
    assert any(line.startswith("pictures prepared as imagenet (most networks") for line in lines)
    assert "weights use 7 bits, 8 where depthwise" in lines
    assert "accuracy was not measured: the data have no labels" in lines
    document = json.loads((tmp_path / "r.json").read_text())
    assert document["version"] == 1
    assert [layer["quantized"] for layer in document["layers"]] == [True] * 4
    assert document["constants_bytes"]["after"] < document["constants_bytes"]["before"]
    done = run_tvmopt("inspect", "out.onnx")
    assert done.returncode == 0, done.stderr
    assert "GIOP" in done.stdout, "operations of integers"
    assert {path.name for path in tmp_path.iterdir()} == {"net.onnx", "out.onnx", "r.json"}


def test_accuracy_is_reported(capsys: pytest.CaptureFixture[str], net: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (12, 12, 12, 3), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", images=pictures, labels=np.arange(12) % 5)
    out = tmp_path / "out.onnx"
    assert main(["quantize", str(net), "-o", str(out), "--data", str(tmp_path / "set.npz"), "--max-drop", "99%"]) == 0
    said = capsys.readouterr().out
    assert "accuracy on 12 samples (95 % intervals in brackets):" in said
    assert "top-1: " in said
    assert " before, " in said
    assert "change of top-1: " in said


def test_ctrl_c_leaves_nothing(net: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tvmopt", "quantize", str(net), "-o", str(tmp_path / "out.onnx")]
    process = subprocess.Popen(
        [*command, "--samples", "100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=6)
    process.send_signal(signal.SIGINT)
    said, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == ""
    assert error.strip() == "tvmopt: stopped with Ctrl-C; what was done is kept"
    assert {path.name for path in tmp_path.iterdir()} == {"net.onnx"}


def test_bad_input(capsys: pytest.CaptureFixture[str], net: Path, tmp_path: Path) -> None:
    onnx.save(residual(8, 16), tmp_path / "quantised.onnx")
    tiny.save_onnx(tmp_path / "relu.onnx", "r (float[1,3,8,8] x) => (float[1,3,8,8] y) { y = Relu (x) }")
    tiny.save_onnx(tmp_path / "open.onnx", "r (float[N,8,8,8] x) => (float[N,16,8,8] y) { y = Conv (x, w1) }")
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "empty").mkdir()
    out = str(tmp_path / "out.onnx")
    cases = [
        ([str(net), "-o", str(tmp_path / "folder.onnx")], 2, "is a folder"),
        ([str(net), "-o", str(tmp_path / "out.tar")], 2, "expected a name that ends with .onnx"),
        ([str(net), "-o", out, "--max-drop", "-1%"], 2, "expected percentage points from 0% to below 100%"),
        ([str(net), "-o", out, "--max-drop", "100%"], 2, "expected percentage points from 0% to below 100%"),
        ([str(net), "-o", out, "--max-drop", "0.5"], 2, "such as 0.5%; got '0.5'"),
        ([str(net), "-o", out, "--max-drop", "1%"], 2, "give --data a labelled set"),
        ([str(net), "-o", out, "--metric", "top1"], 2, "give --data a labelled set"),
        ([str(net), "-o", out, "--samples", "0"], 2, "'--samples'"),
        ([str(net), "-o", out, "--weights", "6"], 2, "'--weights'"),
        ([str(net), "-o", out, "--data", str(tmp_path / "empty")], 3, "empty: has no pictures"),
        ([str(net), "-o", out, "--data", str(tmp_path / "nowhere")], 3, "nowhere: does not exist"),
        ([str(net), "-o", out, "--preprocess", "imagnet"], 2, "unknown preprocessing 'imagnet'; did you mean imagenet"),
        ([str(net), "-o", out, "--in-float", "nowhere"], 2, "the model has no layer 'nowhere'"),
        ([str(tmp_path / "quantised.onnx"), "-o", out], 4, "the model is quantised already"),
        ([str(tmp_path / "relu.onnx"), "-o", out], 4, "there is nothing to quantise"),
        ([str(tmp_path / "open.onnx"), "-o", out], 4, "--input-shape"),
        ([str(tmp_path / "missing.onnx"), "-o", out], 3, "does not exist"),
    ]
    for arguments, code, says in cases:
        assert main(["quantize", *arguments]) == code, arguments
        captured = capsys.readouterr()
        assert says in captured.err, arguments
        assert captured.err.count("\n") == 1
        assert captured.out == ""
    assert not Path(out).exists()
