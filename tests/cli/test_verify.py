"""``tvmopt verify``: a broken kernel traced to its layer, correct models of every kind, and bad input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests import broken, tiny
from tests.conftest import RunTvmopt
from tests.quantised import residual
from tvmopt.pipeline.artifact.format import read_parts
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.importers import load_model
from tvmopt.schedules.target import parse_target

pytestmark = pytest.mark.slow  # a process or two for each test

MLP = """import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 4)), (torch.zeros(1, 12),)
"""
ERRORS = ("max abs", "relative", "1 − cosine", "alone")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two convolutions as model and artifact, another model's artifact, and arrays."""
    folder = tmp_path_factory.mktemp("shelf")
    tiny.save_two_convolutions(folder)
    (folder / "two.tar").write_bytes(tiny.artifact())
    (folder / "both.tar").write_bytes(tiny.artifact(graph=tiny.TWO_OUTPUTS))
    (folder / "aarch64.tar").write_bytes(tiny.artifact("aarch64"))
    (folder / "cut.tar").write_bytes(tiny.artifact()[:5000])
    right = np.random.default_rng(0).standard_normal((1, 8, 14, 14), np.float32)
    np.savez(folder / "right.npz", x=right)
    np.savez(folder / "narrow.npz", x=right[:, :3])
    (folder / "text.npz").write_text("not arrays")
    return folder


def row_of(text: str, layer: str, kernel: str = "conv2d") -> str:
    (row,) = (line for line in text.splitlines() if line.split()[:1] == [layer] and f" {kernel} " in line)
    return row


def test_a_broken_kernel_is_pinned_to_its_layer(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    model = load_model(str(broken.save_residual(tmp_path)))
    layer, artifact = "net.conv_b/Conv", tmp_path / "broken.tar"
    broken.compile_broken(model, parse_target("llvm", 2), layer, "a tap skipped", artifact)
    done = run_tvmopt("verify", "residual.onnx", artifact, "--json", "errors.json")
    assert done.returncode == 6
    assert re.match(
        rf"tvmopt: error: layer '{layer}' \(conv2d, fused with net.add_b/Add, net.relu_b/Relu\) is the first "
        r"out of tolerance; relative error \S+ against onnxruntime, allowed 0.001; "
        r"\S+ on the inputs that it received, allowed 0.0001: it is at fault itself\n$",
        done.stderr,
    ), done.stderr
    assert row_of(done.stdout, layer).rstrip().endswith("first out of tolerance")
    assert "out of tolerance" not in row_of(done.stdout, "net.conv_a/Conv")
    assert row_of(done.stdout, "net.conv_d/Conv").rstrip().endswith("out of tolerance")
    assert "alone too" not in done.stdout
    document = json.loads((tmp_path / "errors.json").read_text())
    assert not document["passed"]
    assert document["first_wrong"] == "relu_b"
    assert [value["layers"][0] for value in document["values"] if value["at_fault"]] == [layer]


def test_a_correct_artifact(run_tvmopt: RunTvmopt, shelf: Path) -> None:
    done = run_tvmopt("verify", "two.onnx", "two.tar", "--inputs", "right.npz", cwd=shelf)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.split(r"\s{2,}", done.stdout.splitlines()[0].strip()) == ["layer", "kernel", *ERRORS]
    assert "compared 4 of 4 kernels' results, 1 outputs (5 with onnxruntime)" in done.stdout
    assert "3 of 3 layers of the model feed into one of them" in done.stdout
    assert "no comparison with the original framework: two.onnx does not say which one" in done.stdout
    assert re.search(
        r"all within tolerance: relative error \S+e-0\d, allowed 0.001; alone: relative error \S+, allowed 0.0001",
        done.stdout,
    )


def test_the_json_says_what_was_verified(run_tvmopt: RunTvmopt, shelf: Path, tmp_path: Path) -> None:
    out = tmp_path / "errors.json"
    done = run_tvmopt("verify", "two.onnx", "two.tar", "--seed", "7", "--tolerance", "0.5", "--json", out, cwd=shelf)
    assert done.returncode == 0, done.stderr
    document = json.loads(out.read_text())
    assert (document["inputs"], document["tolerance"]) == ("random, seed 7", 0.5)
    assert document["manifest"]["model"] == read_parts(shelf / "two.tar").manifest["model"]
    assert {value["tolerance"] for value in document["values"]} == {0.5}
    assert document["version"] == 2
    for value in (*document["values"], *document["outputs"]):
        for error in (*value["errors"].values(), value["alone"]):
            assert error["relative"] < 1e-5
            assert 1 - 1e-10 < error["cosine"] <= 1


@pytest.mark.slow
def test_without_an_artifact_the_model_is_compiled(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    (tmp_path / "mlp.py").write_text(MLP)
    done = run_tvmopt("verify", "mlp.py:build", "--batch", "3", "--threads", "1", "--logs", "logs")
    assert done.returncode == 0, done.stderr
    assert "compared 2 of 2 kernels' results, 1 outputs (3 with onnxruntime, 3 with PyTorch)" in done.stdout
    assert "PyTorch" in done.stdout.splitlines()[0]
    assert {path.name for path in tmp_path.iterdir()} == {"mlp.py"}


@pytest.mark.slow
def test_records_are_used(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    tiny.save_two_convolutions(tmp_path)
    configs = tiny.store_records(tmp_path / "logs", parse_target("llvm", 2))
    done = run_tvmopt("verify", "two.onnx", "--threads", "2", "--logs", "logs", "--json", "errors.json")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "errors.json").read_text())["manifest"]
    tuned = {task["task"] for task in manifest["tasks"] if task["origin"] == "record"}
    assert tuned == set(configs)


@pytest.mark.parametrize("value", ["-1e-3", "0", "nan", "inf", "small"])
def test_a_tolerance_is_above_zero(run_tvmopt: RunTvmopt, shelf: Path, value: str) -> None:
    done = run_tvmopt("verify", "two.onnx", "two.tar", f"--tolerance={value}", cwd=shelf)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "tvmopt: error: Invalid value for '--tolerance': expected a relative error above zero, such as 1e-3; "
        f"got '{value}' (see tvmopt verify --help)\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (
            "two.onnx both.tar",
            3,
            ["both.tar was compiled from another model", "its inputs are x:1,8,14,14 float32, z:"],
        ),
        ("two.onnx two.tar --batch 2", 3, ["its inputs are x:1,8,14,14 float32, those of two.onnx x:2,8,14,14"]),
        ("two.onnx nowhere.tar", 3, ["nowhere.tar does not exist", "tvmopt compile"]),
        ("two.onnx cut.tar", 3, ["cut.tar"]),
        ("two.onnx right.npz", 3, ["right.npz is not a readable tar"]),
        ("two.onnx aarch64.tar", 8, ["compiled for aarch64", "run it there"]),
        ("two.onnx --target aarch64", 8, ["target 'aarch64' is aarch64, this machine", "verify it there"]),
        ("two.onnx --target aarch46", 2, ["unknown target 'aarch46'", "did you mean aarch64"]),
        ("two.onnx two.tar --target aarch64", 2, ["--target says how to compile, but two.tar is already compiled"]),
        ("two.onnx two.tar --strict-nan", 2, ["--strict-nan says how to compile, but two.tar is already compiled"]),
        ("two.onnx two.tar --logs logs", 2, ["--logs says how to compile, but two.tar is already compiled"]),
        ("two.onnx two.tar --seed 1 --inputs right.npz", 2, ["--seed makes random inputs"]),
        ("two.onnx two.tar --seed -1", 2, ["--seed"]),
        ("two.onnx two.tar --json nowhere/errors.json", 2, ["no folder 'nowhere'"]),
        ("two.onnx two.tar --json errors.txt", 2, ["ends with .json"]),
        ("two.onnx two.tar --inputs text.npz", 3, ["text.npz is not a readable .npz file"]),
        ("two.onnx two.tar --inputs nowhere.npz", 3, ["nowhere.npz does not exist"]),
        ("two.onnx two.tar --inputs narrow.npz", 5, ["'x' has shape 1,3,14,14, the model's is 1,8,14,14"]),
        ("two.onnx --inputs narrow.npz", 5, ["'x' has shape 1,3,14,14, the model's is 1,8,14,14"]),
        ("tow.onnx two.tar", 3, ["'tow.onnx' does not exist"]),
        ("two.tar", 3, ["'two.tar' is a .tar file"]),
    ],
)
def test_bad_input(run_tvmopt: RunTvmopt, shelf: Path, arguments: str, code: int, says: list[str]) -> None:
    before = sorted(shelf.iterdir())
    done = run_tvmopt("verify", *arguments.split(), cwd=shelf)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert all(part in done.stderr for part in says), done.stderr
    assert sorted(shelf.iterdir()) == before


@pytest.mark.slow
def test_ctrl_c(repository: Path, tmp_path: Path) -> None:
    tiny.save_two_convolutions(tmp_path)
    cache = tmp_path / "cache"
    environment = {"PYTHONPATH": str(repository), "TMPDIR": str(tmp_path), "TVMOPT_CACHE": str(cache)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tvmopt", "verify", "two.onnx"],
        cwd=tmp_path,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        deadline = time.monotonic() + 60.0
        while not cache.exists() and time.monotonic() < deadline:  # it compiles when it looks there
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "Traceback" not in err
    assert err.endswith("tvmopt: stopped with Ctrl-C; what was done is kept\n")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("tvmopt-")] == []


def test_other_weights_are_another_model(run_tvmopt: RunTvmopt, shelf: Path, tmp_path: Path) -> None:
    path = tiny.save_onnx(tmp_path / "two.onnx", tiny.TWO_CONVOLUTIONS.replace("b = Relu (a)", "b = Tanh (a)"))
    done = run_tvmopt("verify", path, shelf / "two.tar")
    assert done.returncode == 3
    assert f"two.tar was compiled from another model (two.onnx): the weights or layers of {path} differ" in done.stderr


def test_an_artifact_for_a_gpu(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    model = tiny.save_two_convolutions(tmp_path)
    compile_model(load_model(str(model)), parse_target("cuda"), None, tmp_path / "gpu.tar")
    done = run_tvmopt("verify", model, "gpu.tar")
    if done.returncode == 0:
        assert "the artifact does not list its kernels (it is for a GPU): only outputs were compared" in done.stdout
    else:
        assert done.returncode == 8, done.stderr
        assert "GPU" in done.stderr


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network in QDQ form."""
    path = tmp_path_factory.mktemp("quantised") / "residual.onnx"
    onnx.save(residual(), path)
    return path


def test_a_quantised_model_compiles_verifies_and_checks(run_tvmopt: RunTvmopt, quantised: Path, tmp_path: Path) -> None:
    artifact = tmp_path / "residual.tar"
    assert run_tvmopt("compile", str(quantised), "--threads", "1", "-o", str(artifact)).returncode == 0
    verified = run_tvmopt("verify", str(quantised), str(artifact))
    assert verified.returncode == 0
    assert "all within tolerance" in verified.stdout
    assert run_tvmopt("run", str(artifact), "--check").returncode == 0


def test_a_quantised_model_is_compared_with_the_other_runtimes(run_tvmopt: RunTvmopt, quantised: Path) -> None:
    done = run_tvmopt("compare", str(quantised), "--runtimes", "onnxruntime,tvmopt-transfer", "--threads", "1")
    assert done.returncode == 0
    assert "wrong outputs" not in done.stdout
