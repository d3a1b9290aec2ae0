"""``tvmopt convert``."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.pipeline.importers.samples import save_caffe, save_mxnet, save_onnx
from tvmopt.cli import main
from tvmopt.pipeline.importers.load import load_onnx
from tvmopt.pipeline.support.onnxruntime import run_model


@pytest.mark.parametrize("save", [save_onnx, save_caffe, save_mxnet])
def test_the_file_is_the_imported_model(save: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(save)
    spec, output = save(tmp_path), tmp_path / "converted.onnx"
    assert main(["convert", spec, "-o", str(output)]) == 0
    model = onnx.load(output)
    onnx.checker.check_model(model, full_check=True)
    said = capsys.readouterr().out
    assert said.startswith(f"wrote {output}: {len(model.graph.node)} nodes")
    if save is save_caffe:
        assert said.rstrip().endswith(f"; it computes what OpenCV {version('opencv-python-headless')} does")
    (value,) = model.graph.input
    shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    x = {value.name: np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    (ours,), (theirs,) = run_model(model, x).values(), run_model(load_onnx(spec)[0], x).values()
    assert np.array_equal(ours, theirs)


def test_a_shape_and_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, output = save_caffe(tmp_path), tmp_path / "converted.onnx"
    assert main(["convert", spec, "--input-shape", "data:2,3,9,9", "-o", str(output)]) == 0
    (result,) = onnx.load(output).graph.output
    assert [dim.dim_value for dim in result.type.tensor_type.shape.dim] == [2, 4, 7, 7]
    (tmp_path / "net.caffemodel").write_bytes(b"layer")
    capsys.readouterr()
    assert main(["convert", spec, "-o", str(output)]) == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "net.caffemodel" in error
