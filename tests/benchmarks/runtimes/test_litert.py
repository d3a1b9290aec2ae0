"""LiteRT on TFLite files: the file itself runs, in float and quantised, without a converter."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tests.conftest import RunTvmopt
from tests.pipeline.importers.tensorflow.files import made
from tvmopt.benchmarks.runtimes.registry import find_runtime


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), [("float", "fp32"), ("integers", "the file's own: int8")])
def test_it_runs_the_file_itself(name: str, precision: str, run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    if importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("ai-edge-litert is not installed")
    model = made() / f"{name}.tflite"
    options = ("--runtimes", "litert,onnxruntime", "--rounds", "5", "--threads", "1", "--json", "out.json")
    done = run_tvmopt("compare", str(model), *options)
    assert done.returncode == 0, done.stderr
    rows = {row["runtime"]: row for row in json.loads((tmp_path / "out.json").read_text())["measurements"]}
    row = rows["litert"]
    assert (row["status"], row["message"]) == ("ok", "")
    assert row["settings"]["read from"] == "the TFLite file itself"
    assert row["settings"]["precision"] == precision
    assert row["output_error"]["relative"] < (1e-5 if name == "float" else 0.1)


def test_the_converter_is_not_needed_for_tflite(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("ai-edge-litert is not installed")
    monkeypatch.setenv("TVMOPT_LITERT_PYTHON", "/no/such/python")
    runtime = find_runtime("litert")
    assert runtime.missing("tflite") is None
    assert runtime.refusal("tflite") is None
    for kind in ("python", "pt2", None):
        assert "/no/such/python is not a Python" in str(runtime.missing(kind))
