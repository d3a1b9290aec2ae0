"""Networks of a study of cars on the whole way: tuned, compiled with the records, verified, compared and profiled."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import RunTvmopt

pytestmark = pytest.mark.slow

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.mark.parametrize("network", ["fc_dnn.py:build", "literature/cs_lstm.py:vehicles_6"])
def test_from_tuning_to_a_profile(tmp_path: Path, run_tvmopt: RunTvmopt, network: str) -> None:
    model = f"{MODELS / network}"

    def run(command: str, *arguments: str) -> str:
        done = run_tvmopt(command, *arguments, cwd=tmp_path, timeout_s=600.0)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    kept = ("--threads", "1", "--logs", "logs")
    run("tune", model, "--trials", "8", *kept)
    assert any(path.stat().st_size for path in tmp_path.glob("logs/*/*.jsonl"))
    built = run("compile", model, "-o", "model.tar", *kept)
    assert re.search(r"^[1-9]\d* of \d+ kernels from records", built, re.MULTILINE), built
    run("verify", model, "model.tar")
    runtimes = "tvmopt,onnxruntime,pytorch"
    run("compare", model, "--runtimes", runtimes, "--rounds", "5", "--json", "all.json", *kept)
    rows = json.loads((tmp_path / "all.json").read_text())["measurements"]
    assert {row["runtime"]: row["status"] for row in rows} == dict.fromkeys(runtimes.split(","), "ok")
    assert all(row["output_error"] is None or row["output_error"]["relative"] < 1e-3 for row in rows)
    shown = run("profile", model, "--runtimes", runtimes, "--seconds", "0.5", "--top", "5", *kept)
    assert all(title in shown for title in ("tvmopt", "ONNX Runtime", "PyTorch"))
    assert run("profile", "model.tar", "--seconds", "0.5", "--top", "5")
