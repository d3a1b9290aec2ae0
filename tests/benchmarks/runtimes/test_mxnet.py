"""MXNet, symbolic, hybridised and imperative, beside ONNX Runtime on an MXNet network's own files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RunTvmopt
from tests.pipeline.importers.samples import save_mxnet
from tvmopt.benchmarks.measurements.layer_profile import BY_OPERATOR
from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.runtimes.registry import find_runtime


@pytest.fixture
def mxnet_model(tmp_path: Path) -> str:
    """A network in MXNet's files, where MXNet is installed."""
    missing = find_runtime("mxnet").missing()
    if missing:
        pytest.skip(missing)
    return save_mxnet(tmp_path)


@pytest.mark.slow
def test_it_runs_the_networks_own_files(run_tvmopt: RunTvmopt, tmp_path: Path, mxnet_model: str) -> None:
    names = ("mxnet", "mxnet-hybrid", "mxnet-imperative", "onnxruntime")
    options = ("--runtimes", ",".join(names), "--rounds", "5", "--threads", "1", "--json", "out.json")
    done = run_tvmopt("compare", mxnet_model, *options)
    assert done.returncode == 0, done.stderr
    rows = {row["runtime"]: row for row in json.loads((tmp_path / "out.json").read_text())["measurements"]}
    assert {name: (row["status"], row["message"]) for name, row in rows.items()} == dict.fromkeys(names, ("ok", ""))
    for name, word in {"mxnet": "bound", "mxnet-hybrid": "hybridised", "mxnet-imperative": "imperative"}.items():
        assert rows[name]["settings"]["read from"] == "the MXNet network's own files"
        assert rows[name]["settings"]["version"]
        assert word in rows[name]["settings"]["interface"]
        assert rows[name]["output_error"]["relative"] < 1e-5


@pytest.mark.slow
def test_what_mxnet_cannot_run_is_said_in_one_line(run_tvmopt: RunTvmopt, tmp_path: Path, mxnet_model: str) -> None:
    symbol = json.loads(Path(mxnet_model).read_text())
    del symbol["arg_nodes"]
    Path(mxnet_model).write_text(json.dumps(symbol))
    done = run_tvmopt(
        "compare", mxnet_model, "--runtimes", "mxnet", "--rounds", "5", "--threads", "1", "--json", "out.json"
    )
    (row,) = json.loads((tmp_path / "out.json").read_text())["measurements"]
    assert row["status"] == "failed", done.stderr
    assert "MXNet cannot run it: JSONReader: " in row["message"]
    assert 'Missing field "arg_nodes"' in row["message"]


@pytest.mark.slow
def test_its_profiler_counts_operators(run_tvmopt: RunTvmopt, tmp_path: Path, mxnet_model: str) -> None:
    options = ("--runtimes", "mxnet,onnxruntime", "--threads", "1", "--seconds", "0.3", "--json", "out.json")
    done = run_tvmopt("profile", mxnet_model, *options)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "out.json").read_text())
    operators = {operator["name"]: operator for operator in document["profiles"]["mxnet"]["operators"]}
    (convolution,) = (name for name in operators if "conv" in name.casefold())
    assert operators[convolution]["calls"] == 1  # in a run, though many were counted
    assert operators[convolution]["seconds"] > 0
    assert not any(name.startswith("WaitFor") for name in operators)
    assert f"MXNet: {BY_OPERATOR}" in done.stdout
    table = LayerTable.from_json(document)
    assert set(table.all_profiles) == {"mxnet", "onnxruntime"}
    assert set(table.profiles) == {"onnxruntime"}  # no layer seems to take MXNet no time
    _, _, shown = done.stdout.partition("Operators, the longest of each runtime, by its own profiler")
    assert convolution in shown


def test_it_takes_no_other_models() -> None:
    for name in ("mxnet", "mxnet-hybrid", "mxnet-imperative"):
        assert find_runtime(name).refusal("onnx") is not None
        assert find_runtime(name).refusal("mxnet") is None


def test_without_its_environment_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TVMOPT_ENVIRONMENTS", str(tmp_path / "none"))
    monkeypatch.delenv("TVMOPT_MXNET_PYTHON", raising=False)
    assert find_runtime("mxnet").missing() == "mxnet not installed: tvmopt runtimes --install mxnet"
