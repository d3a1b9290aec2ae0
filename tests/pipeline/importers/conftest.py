"""Small models, written to files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from tvmopt.pipeline.importers.load import load_parked
from tvmopt.pipeline.importers.recalling import recall
from tvmopt.pipeline.types import ImportedModel

SaveOnnx = Callable[..., str]
SavePython = Callable[..., str]


@pytest.fixture
def save_onnx(tmp_path: Path, parse: Callable[..., onnx.ModelProto]) -> SaveOnnx:
    """Like `parse`, but writes ``model.onnx`` and returns its path."""

    def save(graph: str, opset: int = 18, ir_version: int = 10, **arrays: np.ndarray) -> str:
        path = tmp_path / "model.onnx"
        onnx.save(parse(graph, opset, ir_version, **arrays), path)
        return str(path)

    return save


@pytest.fixture
def save_python(tmp_path: Path) -> SavePython:
    """Writes ``net.py``, which already imports torch and nn; returns ``net.py:build``."""

    def save(code: str, factory: str = "build") -> str:
        path = tmp_path / "net.py"
        path.write_text(f"import torch\nfrom torch import nn\n{code}\n")
        return f"{path}:{factory}"

    return save


@pytest.fixture
def normal() -> Callable[..., np.ndarray]:
    """Standard normal float32 arrays of a shape, the same in every run."""
    random = np.random.default_rng(0)
    return lambda *shape: random.standard_normal(shape, dtype=np.float32)


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that were imported, not recalled."""
    made: list[str] = []

    def load(spec: str, *others: object) -> ImportedModel:
        made.append(spec)
        return load_parked(spec, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(recall, "load_parked", load)
    return made
