"""One artifact for several sizes of the inputs, from the command line."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from tests.conftest import RunTvmopt

SIZES = (1, 3)


def open_model(path: Path) -> onnx.ModelProto:
    """A convolution with a bias, and a dense layer on the means of its maps; the number of images is open."""
    random = np.random.default_rng(0)
    weights = {"w": (24, 5, 3, 3), "b": (24,), "d": (24, 7)}
    tensors = [
        numpy_helper.from_array(random.standard_normal(shape, dtype=np.float32), name)
        for name, shape in weights.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "d"], ["y"]),
    ]
    info = [helper.make_tensor_value_info(name, 1, shape) for name, shape in (("x", ["n", 5, 9, 11]), ("y", ["n", 7]))]
    graph = helper.make_graph(nodes, "open", info[:1], info[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return model


@pytest.mark.slow
def test_one_artifact_runs_in_every_size(tmp_path: Path, run_tvmopt: RunTvmopt) -> None:
    model = open_model(tmp_path / "open.onnx")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    artifact = tmp_path / "open.tar"
    shape = f"x:{{{','.join(map(str, SIZES))}}},5,9,11"
    done = run_tvmopt("compile", "open.onnx", "--input-shape", shape, "-o", "open.tar", "--threads", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert run_tvmopt("run", "open.tar", "--check", cwd=tmp_path).returncode == 0
    for size in (*SIZES, *SIZES):
        given = np.random.default_rng(size).standard_normal((size, 5, 9, 11), dtype=np.float32)
        np.savez(tmp_path / "in.npz", x=given)
        done = run_tvmopt("run", "open.tar", "--inputs", "in.npz", "--outputs", "out.npz", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (expected,) = session.run(None, {"x": given})
        np.testing.assert_allclose(np.load(tmp_path / "out.npz")["y"], expected, rtol=1e-4, atol=1e-5)
    np.savez(tmp_path / "in.npz", x=np.zeros((2, 5, 9, 11), np.float32))
    done = run_tvmopt("run", "open.tar", "--inputs", "in.npz", cwd=tmp_path)
    assert done.returncode != 0
    assert "compiled for x:1,5,9,11 or x:3,5,9,11; got x:2,5,9,11" in done.stderr
    done = run_tvmopt("verify", "open.onnx", "open.tar", "--input-shape", "x:3,5,9,11", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run_tvmopt("verify", "open.onnx", "open.tar", "--input-shape", "x:2,5,9,11", cwd=tmp_path)
    assert done.returncode == 3
    assert "its inputs are x:1,5,9,11 float32 or x:3,5,9,11 float32, those of open.onnx x:2," in done.stderr
    with tarfile.open(artifact) as tar:
        together = tar.getmember("weights.bin").size
    run_tvmopt("compile", "open.onnx", "--input-shape", "x:1,5,9,11", "-o", "one.tar", "--threads", "1", cwd=tmp_path)
    with tarfile.open(tmp_path / "one.tar") as tar:
        alone = tar.getmember("weights.bin").size
    assert together < 2 * alone  # the sizes share weights


def test_sets_that_a_shell_expanded_are_explained(run_tvmopt: RunTvmopt) -> None:
    done = run_tvmopt("compile", "a.onnx", "--input-shape", "x:1,3", "x:4,3", "-o", "a.tar")
    assert done.returncode == 2
    assert "did the shell expand braces into x:1,3 x:4,3? put them in quotes" in done.stderr
