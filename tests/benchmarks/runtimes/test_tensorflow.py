"""TensorFlow, with and without XLA, beside ONNX Runtime on a model's own files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunTvmopt
from tests.pipeline.importers.tensorflow.files import made, save_keras, save_tensorflow
from tvmopt.benchmarks.measurements.layer_profile import BY_OPERATOR
from tvmopt.benchmarks.runtimes.registry import find_runtime
from tvmopt.benchmarks.runtimes.tensorflow.profiler import own_times

NAMES = ("tensorflow", "tensorflow-xla", "onnxruntime")


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest) -> None:
    missing = find_runtime("tensorflow").missing()
    if missing and "slow" in request.keywords:
        pytest.skip(missing)


def compared(run_tvmopt: RunTvmopt, folder: Path, model: str, *options: str) -> dict[str, dict[str, Any]]:
    fixed = ("--runtimes", ",".join(NAMES), "--rounds", "5", "--threads", "1", "--json", "out.json")
    done = run_tvmopt("compare", model, *fixed, *options)
    assert done.returncode == 0, done.stderr
    return {row["runtime"]: row for row in json.loads((folder / "out.json").read_text())["measurements"]}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["graph", "keras", "saved_model"])
def test_it_runs_the_models_own_files(form: str, run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    paths = {"graph": save_tensorflow, "keras": save_keras}
    model = paths[form](tmp_path) if form in paths else str(made() / "saved")
    rows = compared(run_tvmopt, tmp_path, model)
    assert {name: (row["status"], row["message"]) for name, row in rows.items()} == dict.fromkeys(NAMES, ("ok", ""))
    for name, xla in {"tensorflow": "off (the default)", "tensorflow-xla": "on (jit_compile)"}.items():
        settings = rows[name]["settings"]
        assert settings["XLA"] == xla
        assert settings["read from"] == "the model's own files"
        assert settings["version"]
        assert rows[name]["output_error"]["relative"] < 1e-5


@pytest.mark.slow
def test_batches(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    rows = compared(run_tvmopt, tmp_path, save_keras(tmp_path), "--batch", "3")
    assert [(row["batch"], row["status"], row["message"]) for row in rows.values()] == [(3, "ok", "")] * len(NAMES)


@pytest.mark.slow
def test_its_profiler_counts_operators(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    options = ("--runtimes", "tensorflow", "--threads", "1", "--seconds", "0.3", "--json", "out.json")
    done = run_tvmopt("profile", save_keras(tmp_path), *options)
    assert done.returncode == 0, done.stderr
    profile = json.loads((tmp_path / "out.json").read_text())["profiles"]["tensorflow"]
    operators = {operator["name"]: operator for operator in profile["operators"]}
    convolution = next(name for name in operators if "FusedConv2D" in name)
    assert operators[convolution]["calls"] == 2  # in a run, though many were counted
    kernels = [kernel for kernel in profile["kernels"] if kernel["kind"] == convolution]
    assert len(kernels) == 2
    assert operators[convolution]["seconds"] == pytest.approx(sum(kernel["seconds"] for kernel in kernels))
    assert 0 < sum(operator["seconds"] for operator in operators.values()) < 2 * profile["profiled_s"]
    assert f"TensorFlow: {BY_OPERATOR}" in done.stdout
    assert convolution in done.stdout


def test_operators_are_timed_without_those_inside_them() -> None:
    events = [
        ("loop/inner:MatMul", 20, 30),
        ("EagerLocalExecute: __inference_net_1", 0, 500),
        ("loop:While", 10, 100),
        ("ThreadpoolListener::Record", 12, 1),
        ("loop/inner:Add", 50, 60),
        ("net/last:Add", 110, 5),
    ]
    assert list(own_times(events)) == [
        ("loop", "While", 10),
        ("loop/inner", "MatMul", 30),
        ("loop/inner", "Add", 60),
        ("net/last", "Add", 5),
    ]


def test_it_takes_no_other_models() -> None:
    for name in NAMES[:2]:
        assert find_runtime(name).refusal("onnx") is not None
        assert find_runtime(name).refusal("tflite") is not None
        assert find_runtime(name).refusal("keras") is None
        assert find_runtime(name).refusal("tensorflow") is None


def test_without_its_environment_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TVMOPT_ENVIRONMENTS", str(tmp_path / "none"))
    monkeypatch.setenv("TVMOPT_TENSORFLOW_PYTHON", "/no/such/python")
    missing = find_runtime("tensorflow").missing()
    assert missing is not None
    assert missing.startswith("TVMOPT_TENSORFLOW_PYTHON=/no/such/python is not a Python")
