"""``tvmopt run``: arrays in, arrays out, the golden pair, the latency; and TVM is not loaded."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests import tiny
from tests.conftest import RunTvmopt
from tvmopt.cli.run import lines
from tvmopt.jobs.running import RunJob, RunResult, run
from tvmopt.pipeline.artifact.check_golden import GoldenOutput, check_golden
from tvmopt.pipeline.artifact.format import ArtifactParts, read_parts, save_artifact
from tvmopt.pipeline.errors import WrongResultError
from tvmopt.pipeline.support.numeric_error import numeric_error


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """The two convolutions, compiled."""
    path = tmp_path / "model.tar"
    path.write_bytes(tiny.artifact())
    return path


def test_the_golden_pair(run_tvmopt: RunTvmopt, artifact: Path) -> None:
    done = run_tvmopt("run", artifact, "--check", "--repeat", "5")
    assert done.returncode == 0, done.stderr
    checked, timed = done.stdout.splitlines()
    error = re.fullmatch(r"golden outputs match: relative error (\S+), allowed 0.001", checked)
    assert error is not None
    assert 0 <= float(error[1]) < 1e-5
    assert re.fullmatch(r"latency: median \d+\.\d{3} ms of 5 runs", timed)


def with_outputs_off(artifact: Path, error: float) -> ArtifactParts:
    """The artifact, and its parts, with golden outputs that are off by a relative error."""
    parts = read_parts(artifact)
    off = replace(parts, outputs={name: array * np.float32(1 + error) for name, array in parts.outputs.items()})
    save_artifact(off, artifact)
    return off


def test_a_wrong_golden_pair(run_tvmopt: RunTvmopt, artifact: Path) -> None:
    with_outputs_off(artifact, 2e-3)
    done = run_tvmopt("run", artifact, "--check")
    assert done.returncode == 6
    wanted = "tvmopt: error: output 'y' differs from its golden value: relative error 0.002, allowed 0.001; "
    assert done.stderr.startswith(wanted)
    assert done.stdout == ""


@pytest.mark.parametrize(("error", "right"), [(5e-4, True), (2e-3, False)])
def test_compile_and_run_judge_golden_outputs_alike(artifact: Path, error: float, right: bool) -> None:
    parts = with_outputs_off(artifact, error)
    with nullcontext() if right else pytest.raises(WrongResultError, match=r"relative error 0.002, allowed 0.001"):
        check_golden(parts, artifact)
    with nullcontext() if right else pytest.raises(WrongResultError, match=r"relative error 0.002, allowed 0.001"):
        run(RunJob(artifact, check=True))


def test_an_error_that_is_only_rounding_is_called_so() -> None:
    small = GoldenOutput("y", numeric_error(np.array([1e-7, 0.0]), np.array([0.0, 0.0])), 1e-3)
    large = GoldenOutput("z", numeric_error(np.array([1.0, 0.0]), np.array([1.0, 1e-5])), 1e-3)
    assert small.right
    (line,) = lines(RunResult((large, small), (), None))
    assert line == "golden outputs match: a difference of 1e-07 at values up to 1e-07, no more than rounding"
    (line,) = lines(RunResult((large,), (), None))
    assert line == "golden outputs match: relative error 1e-05, allowed 0.001"


def test_arrays_in_and_out(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    (tmp_path / "both.tar").write_bytes(tiny.artifact(graph=tiny.TWO_OUTPUTS))
    model = tiny.load(tiny.TWO_OUTPUTS)
    random = np.random.default_rng(1)
    inputs = {spec.name: random.standard_normal(spec.shape, np.float32) for spec in model.inputs}
    np.savez_compressed(tmp_path / "in.npz", **inputs)
    done = run_tvmopt(
        "run", "both.tar", "--inputs", "in.npz", "--outputs", "out.npz", "--repeat", "3", "--threads", "1"
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].endswith("ms of 3 runs")
    assert lines[1:] == ["sum: float32 (1, 8, 14, 14)", "maps: float32 (1, 16, 14, 14)", "wrote out.npz"]
    session = onnxruntime.InferenceSession(model.original.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = dict(zip(["sum", "maps"], session.run(["sum", "maps"], inputs), strict=True))
    with np.load(tmp_path / "out.npz") as outputs:
        assert set(outputs.files) == set(expected)
        for name, array in expected.items():
            np.testing.assert_allclose(outputs[name], array, rtol=1e-4, atol=1e-5)


def test_nothing_of_tvm_is_loaded(artifact: Path, repository: Path) -> None:
    code = f"""
import sys
from tvmopt.cli import main
assert main(["run", {str(artifact)!r}, "--check"]) == 0
print(*(name for name in ("tvm", "tvm_ffi", "torch", "onnx", "onnxruntime", "rich", "xgboost") if name in sys.modules))
print(*sorted({{line.split("/")[-1].strip() for line in open("/proc/self/maps") if "libtvm" in line}}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    modules, libraries = done.stdout.splitlines()[1:]
    assert modules == ""
    assert libraries == ""
