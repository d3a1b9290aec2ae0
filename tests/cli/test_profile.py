"""``tvmopt profile``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import tiny
from tests.conftest import RunTvmopt
from tvmopt.benchmarks.measurements.layer_profile import KernelTime, LayerProfile
from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.cli.views.profile import describe_outside, own_table, runtimes_table

pytestmark = pytest.mark.slow  # a process or two for each test


def test_a_model(run_tvmopt: RunTvmopt, tmp_path: Path, measured: Mapping[str, str]) -> None:
    tiny.save_two_convolutions(tmp_path)
    options = ("--runtimes", "tvmopt,onnxruntime,pytorch", "--threads", "1", "--seconds", "0.2", "--json", "out.json")
    done = run_tvmopt("profile", "two.onnx", *options, environment=measured)
    assert done.returncode == 0, done.stderr
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert lines[0] == "two, batch 1, 1 thread"
    assert lines[1] == "measured roofline: 100 GFLOP/s; 100 GB/s in 32 KiB, 10 GB/s in 1024 MiB"
    heads = next(line for line in lines if "GFLOP/s" in line and "algorithm" in line)
    counted = ["precision", "µs", "share", "GFLOP", "KiB", "moved", "GFLOP/s"]
    assert heads.split() == ["layers", "algorithm", *counted, "of", "roofline", "config"]
    kernels = lines[lines.index(heads) + 1 :]
    assert "Conv_a, Relu_b" in kernels[0]
    assert "default: " in kernels[0]
    assert "Conv_y" in kernels[1]
    assert any(line.lstrip().startswith("all layers") for line in lines)
    assert "PyTorch: not applicable: the model is an ONNX file" in lines
    place = lines.index("Operators, the longest of each runtime, by its own profiler")
    assert lines[place + 1].split() == ["runtime", "operator", "calls", "µs", "share"]
    assert lines[place + 2].split()[:3] == ["tvmopt", "conv2d", "direct"]
    for entry in json.loads((tmp_path / "out.json").read_text())["profiles"].values():
        assert ("operators" in entry) == ("kernels" in entry)
    assert lines[-1] == "wrote out.json"
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["schema"] == "tvmopt-profile"
    assert set(document["profiles"]) == {"tvmopt", "onnxruntime", "pytorch"}
    table = LayerTable.from_json(document)
    assert [len(own_table(table, "tvmopt", top).rows) for top in (None, 1)] == [2, 1]
    assert len(runtimes_table(table, "tvmopt", 1).rows) == 1 + len(["all layers"])


def test_an_artifact(run_tvmopt: RunTvmopt, tmp_path: Path, measured: Mapping[str, str]) -> None:
    (tmp_path / "model.tar").write_bytes(tiny.artifact(threads=1))
    done = run_tvmopt("profile", "model.tar", "--seconds", "0.2", environment=measured)
    assert done.returncode == 0, done.stderr
    assert "tvmopt, in order of execution" in done.stdout
    assert "Conv_a, Relu_b" in done.stdout
    assert "All runtimes" not in done.stdout
    others = run_tvmopt("profile", "model.tar", "--runtimes", "tvmopt,openvino")
    assert (others.returncode, others.stdout) == (2, "")
    assert "an artifact runs in tvmopt alone; profile its model to see openvino too" in others.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("two.onnx", "--runtimes", "onxruntime"), 2, "unknown runtime 'onxruntime'; did you mean onnxruntime"),
        (("two.onnx", "--runtimes", "pytorch"), 8, "pytorch: not applicable: the model is an ONNX file"),
        (("two.onnx", "--runtimes", "pytorch-compile"), 8, "pytorch-compile: Inductor"),
        (("two.onnx", "--threads", "4096"), 2, "threads must be at most"),
        (("two.onnx", "--seconds", "0"), 2, "--seconds"),
        (("two.onnx", "--top", "0"), 2, "--top"),
        (("two.onnx", "--json", "out.txt"), 2, "expected a name that ends with .json"),
        (("none.onnx",), 3, "none.onnx"),
        (("none.tar",), 3, "none.tar does not exist"),
        (("broken.tar",), 3, "broken.tar is not a readable tar"),
        (("gpu.tar",), 2, "gpu.tar is compiled for a GPU"),
        (("model.tar", "--input-shape", "x:1,2"), 2, "an artifact's inputs are fixed"),
    ],
)
def test_bad_input(run_tvmopt: RunTvmopt, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    tiny.save_two_convolutions(tmp_path)
    (tmp_path / "broken.tar").write_bytes(b"no tar")
    if "gpu.tar" in arguments:
        (tmp_path / "gpu.tar").write_bytes(tiny.artifact("cuda"))
    before = sorted(tmp_path.iterdir())
    done = run_tvmopt("profile", *arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


def test_missing_runtimes_say_how_to_get_them(
    run_tvmopt: RunTvmopt, tmp_path: Path, measured: Mapping[str, str]
) -> None:
    tiny.save_two_convolutions(tmp_path)
    # A finder before all others, as if the package were not installed.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'openvino' else find(name, *rest)\n"
    )
    paths = str(tmp_path)
    environment = {**measured, "PYTHONPATH": paths}
    alone = run_tvmopt("profile", "two.onnx", "--runtimes", "openvino", environment=environment)
    assert alone.returncode == 8
    assert "openvino not installed: pip install 'tvmopt[openvino]'" in alone.stderr
    options = ("--runtimes", "openvino,onnxruntime", "--threads", "1", "--seconds", "0.1")
    done = run_tvmopt("profile", "two.onnx", *options, environment=environment)
    assert done.returncode == 0, done.stderr
    assert "OpenVINO: openvino not installed: pip install 'tvmopt[openvino]'" in done.stdout
    assert "ONNX Runtime" in done.stdout


def profile(kernel_s: float, whole_s: float) -> LayerProfile:
    return LayerProfile.measured([KernelTime("k", "conv2d", "", ("a",), kernel_s)], whole_s, whole_s)


def test_time_outside_of_the_layers_is_a_finding() -> None:
    assert describe_outside(profile(95e-6, 100e-6)) == ""
    assert describe_outside(profile(60e-6, 100e-6)) == (
        "40% of a run (40.0 µs) is outside the layers: data ingestion, dispatch, allocation, copies"
    )
    assert "20% longer under the profiler" in describe_outside(profile(120e-6, 100e-6))


PROGRAM = """
import csv
from pathlib import Path

import numpy as np
import torch

from beside import scale

NETWORK = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Sigmoid()).eval()


def classify():
    print("classifying")
    rows = np.loadtxt(Path(__file__).parent / "rows.csv")
    with torch.no_grad():
        return [NETWORK(torch.tensor(row, dtype=torch.float32)).sum().item() for row in scale(rows)]


def fails():
    raise KeyError("no such column")


def leaves():
    import os

    os._exit(3)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "ingest.py").write_text(PROGRAM)
    (tmp_path / "beside.py").write_text("def scale(rows):\n    return [row / 2 for row in rows]\n")
    (tmp_path / "rows.csv").write_text("1 2 3\n" * 50)
    return tmp_path


def test_a_program(run_tvmopt: RunTvmopt, program: Path) -> None:
    options = ("--seconds", "0.3", "--stage", "scaling=scale", "--json", "out.json")
    done = run_tvmopt("profile", "ingest.py:classify", *options)
    assert done.returncode == 0, done.stderr
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert lines[0].startswith("ingest.py:classify: ")
    assert lines[-1] == "wrote out.json"
    assert "classifying" not in done.stdout  # what the program prints is not part of the tables
    assert "classifying" in done.stderr
    document = json.loads((program / "out.json").read_text())
    assert (document["schema"], document["schema_version"]) == ("tvmopt-profile-program", 1)
    stages = {stage["stage"]: stage for stage in document["warm"]}
    assert list(stages) == ["reading", "preparing", "inferring", "scaling"]
    assert sum(stage["share"] for stage in stages.values()) == pytest.approx(1)
    assert stages["inferring"]["functions"][0]["calls"] == 50
    assert stages["scaling"]["functions"][0]["function"] == "beside.scale"
    for name in stages:
        assert any(line.startswith(name) for line in lines), done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("ingest.py:fails", "--stage", "reading=fails"), 4, "fails() raised KeyError at ingest.py:"),
        (("ingest.py:missing",), 3, "unknown factory 'missing'"),
        (("ingest.py:classify", "--threads", "1"), 2, "--threads is for a model"),
        (("ingest.py:classify", "--stage", "reading"), 2, "such as reading=read_rows,parse"),
        (("ingest.py:leaves", "--stage", "reading=scale"), 7, "ended its process with exit code 3"),
        (("model.tar", "--stage", "reading=scale"), 2, "--stage is for a program"),
    ],
)
def test_bad_programs(
    run_tvmopt: RunTvmopt, program: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = run_tvmopt("profile", *arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
