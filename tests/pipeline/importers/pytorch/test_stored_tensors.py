"""Exported programs are recalled by their files' hash, with their weights in the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.importers.golden import golden_pair
from tvmopt.pipeline.importers.pytorch.stored_tensors import stored_tensors
from tvmopt.pipeline.importers.recalling.recall import KIND, load_or_recall
from tvmopt.pipeline.importers.source import parse_source
from tvmopt.pipeline.support.cache import Cache


class Net(nn.Module):
    """Weights that are stored as they are read and transposed, and some that equal nothing in the file."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.convolution = nn.Conv2d(3, 40, 5)
        self.dense = nn.Linear(40, 70)
        self.register_buffer("table", torch.randn(70, 70))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.dense(self.convolution(x).mean((2, 3)))) @ (self.table * 3)


def saved(path: Path, seed: int = 0) -> str:
    torch.export.save(torch.export.export(Net(seed).eval(), (torch.randn(2, 3, 9, 9),)), path)
    return str(path)


@pytest.fixture
def spec(tmp_path: Path) -> str:
    return saved(tmp_path / "net.pt2")


def test_places_hold_the_weights(spec: str) -> None:
    stored = stored_tensors(parse_source(spec))
    content = Path(spec).read_bytes()
    parts = {content[one.offset : one.offset + one.nbytes] for one in stored.tensors}
    for tensor in Net().state_dict().values():
        assert tensor.numpy().tobytes() in parts


def test_a_second_import_is_recalled(spec: str, imports: list[str], tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    first, second = (load_or_recall(spec, cache) for _ in range(2))
    assert imports == [spec]
    wanted = load_model(spec)
    for found in (first, second):
        assert (found.inputs, found.outputs, found.sha256) == (wanted.inputs, wanted.outputs, wanted.sha256)
        assert found.golden is not None
        for arrays, expected in zip(found.golden, golden_pair(wanted), strict=True):
            for name, array in expected.items():
                np.testing.assert_array_equal(arrays[name], array)
    (entry,) = (tmp_path / "cache").glob(f"{KIND}/*/*")
    assert {"convolution.weight", "dense.weight"} <= set(second.weights)
    # Of the three weights, the file of the program has two.
    assert entry.stat().st_size < 70 * 70 * 4 + 20_000


@pytest.mark.parametrize("package", ["torch", "onnxscript"])
def test_another_version_imports_anew(
    spec: str, imports: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    from tvmopt.pipeline.importers.pytorch import stored_tensors as module

    cache, installed = Cache(tmp_path / "cache"), module.version
    load_or_recall(spec, cache)
    other: Callable[[str], str] = lambda name: "0.1" if name == package else installed(name)  # noqa: E731
    monkeypatch.setattr(module, "version", other)
    load_or_recall(spec, cache)
    assert imports == [spec, spec]


def test_other_weights_import_anew(spec: str, imports: list[str], tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    before = load_or_recall(spec, cache)
    saved(Path(spec), seed=1)
    assert load_or_recall(spec, cache).sha256 != before.sha256
    assert imports == [spec, spec]
