"""``tvmopt evaluate``, and the accuracy beside speed in ``tvmopt compare``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.accuracy.test_evaluate import save_model
from tests.conftest import RunTvmopt
from tests.pipeline.data import labelled_files as labelled
from tvmopt.cli import main

pytestmark = pytest.mark.slow  # a process or two for each test


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network that names the brightest of three channels, and a set of nine pictures beside it."""
    labelled.save_folders(tmp_path / "set")
    return save_model(tmp_path / "net.onnx")


def test_table_json_and_artifact(run_tvmopt: RunTvmopt, model: Path, tmp_path: Path) -> None:
    kept = ("--results", "kept", "--threads", "1")
    runtimes = ("--runtimes", "onnxruntime,pytorch,tvmopt-untuned")
    done = run_tvmopt("evaluate", model.name, "--data", "set", *runtimes, *kept, "--json", "out.json")
    assert done.returncode == 0, done.stderr
    first, heads, *rows = done.stdout.splitlines()
    assert first == "net: top-1 on 9 samples of set (a folder for each class)"
    assert heads.split("  ")[0] == "runtime"
    assert rows[0].split()[:4] == ["ONNX", "Runtime", "100.00", "70.09–100.00"]
    assert rows[1].split()[:3] == ["tvmopt", "untuned", "100.00"]
    assert "  PyTorch: not applicable: the model is an ONNX file" in rows
    assert any("prepared as imagenet (by default: most networks" in row for row in rows)
    document = json.loads((tmp_path / "out.json").read_text())
    assert (document["schema"], document["complete"]) == ("tvmopt-accuracy", True)
    assert [row["runtime"] for row in document["accuracy"]["rows"]] == ["pytorch", "onnxruntime", "tvmopt-untuned"]
    assert run_tvmopt("compile", model.name, "-o", "net.tar").returncode == 0
    done = run_tvmopt("evaluate", "net.tar", "--data", "set", "--against", model.name, *kept)
    assert done.returncode == 0, done.stderr
    assert "net in ONNX Runtime" in done.stdout
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert any(row.startswith("tvmopt, this artifact 100.00 70.09–100.00 0.00") for row in rows)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--data", "nowhere"), 3, "nowhere: does not exist"),
        (("--data", "empty"), 3, "empty: has no labelled pictures"),
        (("--data", "one"), 3, "one: all 3 samples are of one class (number 1)"),
        (("--data", "many"), 5, "labels do not fit the model: they go up to 7"),
        (("--data", "set", "--metric", "topp1"), 2, "unknown metric 'topp1'; did you mean top1"),
        (("--data", "set", "--metric", "mine.py:bad"), 3, "bad() raised ZeroDivisionError at mine.py:1"),
        (("--data", "set", "--metric", "mine.py:nan"), 3, "returned nan, where a finite number was expected"),
        (("--data", "set", "--metric", "map"), 2, "map needs boxes"),
        (("--data", "set", "--preprocess", "imgnet"), 2, "unknown preprocessing 'imgnet'; did you mean imagenet"),
        (("--data", "short"), 3, "is truncated: it has 2 of 32 bytes"),
        (("--data", "bare.npz"), 3, "bare.npz: has no labels"),
        (("--data", "set", "--runtimes", "onnx"), 2, "unknown runtime 'onnx'"),
    ],
)
def test_bad_input_is_one_line(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    labelled.save_folders(tmp_path / "one", ("1",))
    labelled.save_folders(tmp_path / "many", ("1", "7"))
    (tmp_path / "mine.py").write_text(
        "def bad(outputs, labels): return 1 / 0\ndef nan(outputs, labels): return float('nan')\n"
    )
    labelled.save_idx(tmp_path / "short", np.zeros((2, 4, 4)), np.arange(2), packed=False)
    (tmp_path / "short" / "t10k-images-idx3-ubyte").write_bytes(labelled.idx_bytes(np.zeros((2, 4, 4)))[:18])
    np.savez(tmp_path / "bare.npz", images=np.zeros((2, 4, 4), np.uint8))
    options = arguments if "--runtimes" in arguments else (*arguments, "--runtimes", "onnxruntime")
    assert main(["evaluate", model.name, *options, "--json", "out.json"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert message in err
    assert not (tmp_path / "out.json").exists()


def test_ctrl_c_ends_with_130_and_another_run_goes_on(tmp_path: Path) -> None:
    labelled.save_folders(tmp_path / "set", count=200)
    save_model(tmp_path / "net.onnx")
    (tmp_path / "slow.py").write_text(
        "import time\nimport numpy as np\n"
        "def scale(picture):\n"
        "    time.sleep(0.01)\n"
        "    return np.resize(picture, (8, 8, 3)).transpose(2, 0, 1) / 255\n"
    )
    command = [sys.executable, "-m", "tvmopt", "evaluate", "net.onnx", "--data", "set", "--runtimes", "onnxruntime"]
    command += ["--threads", "1", "--preprocess", "slow.py:scale", "--results", "kept", "--json", "out.json"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        end = time.monotonic() + 60
        while not list((tmp_path / "kept").rglob("evaluations/*/*")) and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "what was done is kept" in err
    assert json.loads((tmp_path / "out.json").read_text())["complete"] is False
    assert "ONNX Runtime" in out
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["complete"]
    assert [row["samples"] for row in document["accuracy"]["rows"]] == [600]


def test_accuracy_beside_speed(run_tvmopt: RunTvmopt, model: Path, tmp_path: Path) -> None:
    outputs = ("--json", "out.json", "--md", "out.md", "--html", "out.html")
    options = ("--runtimes", "onnxruntime,openvino", "--rounds", "5", "--threads", "1", "--samples", "6", *outputs)
    done = run_tvmopt("compare", model.name, "--data", "set", *options)
    assert done.returncode == 0, done.stderr
    head = next(line for line in done.stdout.splitlines() if line.startswith("runtime"))
    assert "top-1 % (over ONNX Runtime)" in head
    row = next(line for line in done.stdout.splitlines() if line.startswith("OpenVINO"))
    assert "100.00 (0.00)" in row
    assert "Accuracy is top-1 on 6 samples of set" in done.stdout
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["model"]["input_data"] == "samples of set"
    assert [row["runtime"] for row in document["accuracy"]["rows"]] == ["onnxruntime", "openvino"]
    for name in ("out.md", "out.html"):
        assert "100.00 (0.00)" in (tmp_path / name).read_text()
    assert run_tvmopt("report", "out.json").stdout == done.stdout.partition("wrote")[0]
    done = run_tvmopt("compare", model.name, "--metric", "top1", *options[:2])
    assert done.returncode == 2
    assert "--metric is for a labelled set" in done.stderr
