"""--inputs and --input-value: models that do not run on random inputs, and inputs that become constants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from tests.conftest import RunTvmopt

SQUARES = """squares (int64[n] i) => (float[n,3] y) { j = Mul(i, i) k = Sub(j, far) y = Gather(table, k) }"""
RATES = """rates (float[1,8] x, int64 sr) => (float[1,n] y) {
    fast = Equal(sr, rate)
    y = If (fast) <
        then_branch = g1 () => (float[1,8] a) { a = Relu(x) },
        else_branch = g2 () => (float[1,4] b) { b = Slice(x, zero, four) }
    >
}"""
"""Branches of different shapes, so that the condition must be known."""

SLICE = {"zero": np.array([0, 0]), "four": np.array([1, 4])}


def save(path: Path, graph: str, **constants: np.ndarray) -> Path:
    model = parser.parse_model(f'<ir_version: 10, opset_import: ["" : 18]> {graph}')
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    onnx.save(model, path)
    return path


@pytest.mark.slow  # a process for each command
def test_a_model_that_runs_on_few_inputs_compiles_with_some(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    table = np.arange(15, dtype=np.float32).reshape(5, 3)
    model = save(tmp_path / "squares.onnx", SQUARES, far=np.array([10000]), table=table)
    given = {"i": np.array([100, -100])}
    np.savez(tmp_path / "given.npz", **given)
    refused = run_tvmopt("compile", model, "-o", "m.tar", "--input-shape", "i:2")
    assert refused.returncode == 4
    assert len(refused.stderr.splitlines()) == 1
    assert "--inputs FILE.npz" in refused.stderr
    assert not (tmp_path / "m.tar").exists()
    for command in (
        ("compile", model, "-o", "m.tar", "--inputs", "given.npz"),
        ("run", "m.tar", "--check"),
        ("verify", model, "m.tar", "--inputs", "given.npz"),
        ("inspect", model, "--inputs", "given.npz"),
    ):
        done = run_tvmopt(*command)
        assert done.returncode == 0, done.stderr
    run_tvmopt("run", "m.tar", "--inputs", "given.npz", "--outputs", "y.npz")
    with np.load(tmp_path / "y.npz") as made:
        assert np.array_equal(made["y"], table[[0, 0]])


@pytest.mark.slow  # a process for each command
@pytest.mark.parametrize(("rate", "columns"), [("16000", 8), ("8000", 4)])
def test_a_fixed_input_decides_a_branch(run_tvmopt: RunTvmopt, tmp_path: Path, rate: str, columns: int) -> None:
    model = save(tmp_path / "rates.onnx", RATES, rate=np.array(16000), **SLICE)
    assert run_tvmopt("compile", model, "-o", "m.tar").returncode == 4
    assert run_tvmopt("compile", model, "-o", "m.tar", "--input-value", f"sr={rate}").returncode == 0
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 8)
    np.savez(tmp_path / "x.npz", x=x)
    assert run_tvmopt("run", "m.tar", "--inputs", "x.npz", "--outputs", "y.npz").returncode == 0
    with np.load(tmp_path / "y.npz") as made:
        assert np.array_equal(made["y"], np.maximum(x, 0) if columns == 8 else x[:, :4])


@pytest.mark.slow  # a process for each case
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("sr", "such as sr=16000; got 'sr'"),
        ("sr=1,2", "input 'sr' needs 1 number, got 2"),
        ("sr=0.5", "input 'sr' is of int64, which cannot hold 0.5"),
        ("rs=1", "unknown input 'rs'; did you mean sr?"),
    ],
)
def test_a_wrong_value_is_refused(run_tvmopt: RunTvmopt, tmp_path: Path, value: str, says: str) -> None:
    model = save(tmp_path / "rates.onnx", RATES, rate=np.array(16000), **SLICE)
    done = run_tvmopt("inspect", model, "--input-value", value)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
