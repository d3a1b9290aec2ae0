"""``tvmopt compare``."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.conftest import RunTvmopt

pytestmark = pytest.mark.slow  # a process or two for each test

CORES = len(os.sched_getaffinity(0))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small ONNX model in the folder that commands run in."""
    weights = np.random.default_rng(0).standard_normal((16, 4)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["scores"]), helper.make_node("Relu", ["scores"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 16))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4))],
        [numpy_helper.from_array(weights, "weights")],
    )
    path = tmp_path / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_all_outputs(run_tvmopt: RunTvmopt, model: Path, tmp_path: Path) -> None:
    outputs = ("--json", "out.json", "--html", "out.html", "--md", "out.md")
    runtimes = ("--runtimes", "onnxruntime,openvino,pytorch", "--rounds", "5", "--batch", "1,2", "--threads", "1")
    done = run_tvmopt("compare", model.name, *runtimes, *outputs)
    assert done.returncode == 0, done.stderr
    assert "tiny, batch 2, 1 thread" in done.stdout
    # One table for both batch sizes ends the output.
    place = done.stdout.index("tiny: all batch sizes and thread counts: median ms (FPS)")
    rows = done.stdout[place:].splitlines()
    number = r"[\d.,]+ \([\d.,]+\)"
    for row, runtime in zip(rows[2:4], ("ONNX Runtime", "OpenVINO"), strict=True):
        assert re.fullmatch(rf"{runtime} +{number} +{number} +batch [12], 1 thread *", row), rows
    assert "PyTorch: not applicable: the model is an ONNX file" in done.stdout
    assert done.stdout.splitlines()[-3:] == ["wrote out.json", "wrote out.html", "wrote out.md"]
    document = json.loads((tmp_path / "out.json").read_text())
    assert [row["runtime"] for row in document["measurements"]] == ["pytorch", "onnxruntime", "openvino"] * 2
    assert document["model"]["input_data"] == "random numbers"
    report = run_tvmopt("report", "out.json", "--html", "again.html")
    assert report.returncode == 0, report.stderr
    assert (tmp_path / "again.html").read_text() == (tmp_path / "out.html").read_text()


def test_the_method_of_dli(run_tvmopt: RunTvmopt, model: Path, tmp_path: Path) -> None:
    runtimes = ("--runtimes", "onnxruntime,openvino,openvino-throughput", "--batch", "2", "--threads", "1")
    outputs = ("--json", "out.json", "--html", "out.html", "--md", "out.md")
    done = run_tvmopt("compare", model.name, *runtimes, "--method", "dli", "--iterations", "47", *outputs)
    assert done.returncode == 0, done.stderr
    said = (
        "by the method of DLI, the Deep Learning Inference benchmark: latency is the median of 47 sequential requests"
    )
    assert said in " ".join(done.stdout.split())
    assert "FPS" in done.stdout
    document = json.loads((tmp_path / "out.json").read_text())
    protocol = document["protocol"]
    assert (protocol["method"], protocol["iterations"], protocol["rounds"]) == ("dli", 47, 20)
    assert not {"turn_s", "max_calls"} & set(protocol)
    *rows, throughput = document["measurements"]
    assert [row["runtime"] for row in rows] == ["onnxruntime", "openvino"]
    for row in rows:
        latency = row["latency_s"]
        assert latency["turns"] == [3] * 7 + [2] * 13
        assert latency["median"] == statistics.median(latency["samples"])
        assert row["fps"] == pytest.approx(2 / latency["median"])
    assert throughput["status"] == "not_applicable"
    assert "several requests at once" in throughput["message"]
    for report in ("out.html", "out.md"):
        text = (tmp_path / report).read_text()
        assert said in text
        assert "Then each was sent 47 timed requests" in text
        assert "None" not in text
    again = run_tvmopt("report", "out.json", "--html", "again.html")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again.html").read_text() == (tmp_path / "out.html").read_text()


def test_search(run_tvmopt: RunTvmopt, model: Path, tmp_path: Path) -> None:
    options = ("--runtimes", "onnxruntime,opencv", "--rounds", "5", "--threads", "1", "--search")
    outputs = ("--json", "out.json", "--html", "out.html", "--md", "out.md")
    done = run_tvmopt("compare", model.name, *options, "--search-seconds", "0.5", *outputs)
    assert done.returncode == 0, done.stderr
    assert "tiny, batch 1, 1 thread, the parameters that the search found" in done.stdout
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["protocol"]["search"]["seconds"] == 0.5
    tried = {
        row["runtime"]: [(trial["parameter"], trial["value"]) for trial in row["search"]["trials"]]
        for row in document["measurements"]
    }
    assert tried == {
        "onnxruntime": [
            ("graph optimisation", "extended"),
            ("graph optimisation", "basic"),
            ("between operators", "sleep"),
        ],
        "opencv": [("Winograd convolutions", "off"), ("fusion", "off")],
    }
    for row in document["measurements"]:
        assert row["status"] == "ok", row["message"]
        assert row["search"]["rounds"] >= 5
        assert row["search"]["found"].items() <= row["settings"].items()
    markdown = (tmp_path / "out.md").read_text()
    assert "### The parameters that the search found: batch 1, 1 thread" in markdown
    assert "searched for about 0.5 s of turns each" in markdown
    assert "The parameters that the search found</h3>" in (tmp_path / "out.html").read_text()
    again = run_tvmopt("report", "out.json", "--html", "again.html")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again.html").read_text() == (tmp_path / "out.html").read_text()


@pytest.mark.slow
def test_streams(run_tvmopt: RunTvmopt, model: Path, tmp_path: Path) -> None:
    threads = "1,2" if CORES > 1 else "1"
    options = ("--runtimes", "openvino,openvino-throughput", "--streams", "1,2", "--threads", threads, "--rounds", "5")
    done = run_tvmopt("compare", model.name, *options, "--json", "out.json", "--html", "out.html")
    assert done.returncode == 0, done.stderr
    assert "OpenVINO throughput, 1 stream " in done.stdout
    too_few = "OpenVINO throughput, 2 streams: not applicable: 2 streams need 2 threads, this cell has 1"
    assert too_few in " ".join(done.stdout.split())
    for row in json.loads((tmp_path / "out.json").read_text())["measurements"]:
        name, _, streams = row["runtime"].partition("-streams-")
        if name == "openvino-throughput":
            assert row["status"] == ("ok" if int(streams) <= row["threads"] else "not_applicable"), row["message"]
            assert row["settings"].get("streams", streams) == streams
    assert "OpenVINO throughput, 1 stream<" in (tmp_path / "out.html").read_text().replace(" <", "<")


@pytest.mark.slow
def test_layers(run_tvmopt: RunTvmopt, model: Path, tmp_path: Path) -> None:
    options = ("--layers", "--runtimes", "onnxruntime,tvmopt-untuned", "--rounds", "5", "--threads", "1")
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = run_tvmopt("compare", model.name, *options, "--json", "out.json", "--html", "out.html", environment=cache)
    assert done.returncode == 0, done.stderr
    assert "tiny, batch 1, 1 thread, layer by layer" in done.stdout
    assert "loses most time against the roofline" in done.stdout
    (table,) = json.loads((tmp_path / "out.json").read_text())["layers"]
    assert [table["costs"][layer]["operator"] for layer in table["order"]] == ["MatMul", "Relu"]
    assert set(table["profiles"]) == {"onnxruntime", "tvmopt-untuned"}
    for profile in table["profiles"].values():
        assert profile["kernels"], profile
    report = run_tvmopt("report", "out.json", "--html", "again.html", "--md", "out.md")
    assert report.returncode == 0, report.stderr
    assert (tmp_path / "again.html").read_text() == (tmp_path / "out.html").read_text()
    assert "### Layer by layer: batch 1, 1 thread" in (tmp_path / "out.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("none.onnx",), 3, "none.onnx"),
        ((".",), 3, "'.' is a folder"),
        (("half.onnx", "--runtimes", "onnxruntime"), 3, "half.onnx"),
        (("tiny.onnx", "--runtimes", "openvin"), 2, "unknown runtime 'openvin'; did you mean openvino"),
        (("tiny.onnx", "--threads", str(CORES + 1)), 2, f"threads must be at most {CORES}"),
        (("tiny.onnx", "--threads", "0"), 2, "expected positive integers"),
        (("tiny.onnx", "--batch", "one"), 2, "expected positive integers"),
        (("tiny.onnx", "--rounds", "4"), 2, "--rounds"),
        (("tiny.onnx", "--method", "mean"), 2, "--method"),
        (("tiny.onnx", "--method", "dli", "--iterations", "4"), 2, "--iterations"),
        (("tiny.onnx", "--streams", "2", "--runtimes", "openvino"), 2, "streams are for openvino-throughput"),
        (("tiny.onnx", "--search-seconds", "3"), 2, "--search-seconds is for --search, got 3 without it"),
        (("tiny.onnx", "--search", "--search-seconds", "0"), 2, "--search-seconds"),
        (("tiny.onnx", "--iterations", "100"), 2, "iterations are for --method dli, got 100 with the method turns"),
        (("tiny.onnx", "--data", "none", "--runtimes", "onnxruntime"), 3, "none: not a folder"),
        (("tiny.onnx", "--json", "none/out.json"), 2, "no folder 'none'"),
        (("tiny.onnx", "--html", "none/out.html"), 2, "no folder 'none'"),
        (("tiny.onnx", "--md", "."), 2, "ends with .md"),
        (("tiny.onnx", "--logs", "broken", "--runtimes", "tvmopt"), 3, "log.jsonl:1"),
    ],
)
def test_bad_input(
    arguments: tuple[str, ...], code: int, message: str, run_tvmopt: RunTvmopt, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "half.onnx").write_bytes(model.read_bytes()[:100])
    (tmp_path / "broken" / "x86_64").mkdir(parents=True)
    (tmp_path / "broken" / "x86_64" / "log.jsonl").write_text("no record\n{}\n")
    before = sorted(tmp_path.rglob("*"))
    done = run_tvmopt("compare", *arguments)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("tvmopt: error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_pictures_for_a_model_that_takes_none(run_tvmopt: RunTvmopt, model: Path, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "pictures" / "a.png")
    done = run_tvmopt("compare", model.name, "--runtimes", "onnxruntime", "--data", "pictures")
    assert done.returncode == 2
    assert "--data is for models with one float32 input of 1 or 3 channels; this one has x (1, 16)" in done.stderr


def wait_until_measuring(process: psutil.Process, deadline_s: float = 60.0) -> None:
    """Waits until two workers have been seen suspended, which shows that rounds are running."""
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        states = [child.status() for child in process.children(recursive=True)]
        if len(states) >= 2 and psutil.STATUS_STOPPED in states:
            return
        time.sleep(0.05)
    pytest.fail("no measurement began")


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_measured(model: Path, tmp_path: Path, repository: Path) -> None:
    options = ("--runtimes", "onnxruntime,openvino", "--rounds", "5000", "--threads", "1", "--json", "out.json")
    process = subprocess.Popen(
        [sys.executable, "-m", "tvmopt", "compare", model.name, *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        watched = psutil.Process(process.pid)
        wait_until_measuring(watched)
        workers = watched.children(recursive=True)
        time.sleep(6.0)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "stopped with Ctrl-C; what was done is kept" in errors
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["complete"] is False
    assert {row["status"] for row in document["measurements"]} == {"ok"}
    rounds = {len(row["latency_s"]["turns"]) for row in document["measurements"]}
    assert len(rounds) == 1
    assert 5 <= rounds.pop() < 5000
    assert not [worker for worker in workers if worker.is_running()]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "tiny.onnx"]
