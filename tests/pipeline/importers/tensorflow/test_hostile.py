"""Hostile models at the command line: one line each, the right exit code, bounded memory."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from tests.conftest import RunTvmopt
from tests.pipeline.importers.tensorflow.files import hostile

pytestmark = pytest.mark.slow

MOST_BYTES = 5 << 30
"""What the process that reads a tiny file may take, and this one's own."""


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("cycle.pb", 3, "in a cycle"),
        ("announced.pb", 3, ""),
        ("nested.pb", 3, "MaxDepth"),
        ("cycle.keras", 3, "has loops"),
        ("announced.keras", 3, "Keras cannot read it"),
        ("nested.keras", 3, "nested too deeply"),
        ("text.keras", 3, "not JSON"),
        ("custom.tflite", 4, "no ONNX form of the operators 'SomeoneElses'"),
        ("cycle.tflite", 4, ""),
        ("announced.tflite", 4, ""),
    ],
)
def test_one_line(name: str, code: int, message: str, tmp_path: Path, run_tvmopt: RunTvmopt) -> None:
    path = hostile() / name
    done = run_tvmopt("convert", str(path), "-o", "out.onnx")
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert name in done.stderr
    assert message in done.stderr
    assert not (tmp_path / "out.onnx").exists()
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < MOST_BYTES
