"""Quantised models from the command line: compiled, verified, run and compared like others."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.conftest import RunTvmopt
from tests.quantised import residual

pytestmark = pytest.mark.slow  # a process or two for each test


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quantised") / "residual.onnx"
    onnx.save(residual(), path)
    return path


def test_compiles_verifies_and_checks(run_tvmopt: RunTvmopt, model: Path, tmp_path: Path) -> None:
    artifact = tmp_path / "residual.tar"
    assert run_tvmopt("compile", str(model), "--threads", "1", "-o", str(artifact)).returncode == 0
    verified = run_tvmopt("verify", str(model), str(artifact))
    assert verified.returncode == 0
    assert "all within tolerance" in verified.stdout
    assert run_tvmopt("run", str(artifact), "--check").returncode == 0


def test_is_compared_with_the_other_runtimes(run_tvmopt: RunTvmopt, model: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    arguments = ("compare", str(model), "--runtimes", "onnxruntime,tvmopt", "--threads", "1", "-o", str(report))
    done = run_tvmopt(*arguments, "--rounds", "3")
    assert done.returncode == 0
    assert "wrong outputs" not in done.stdout
