"""OpenCV, ncnn, MNN, LiteRT and ExecuTorch: converted, run, and their outputs in the model's order and shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvmopt.benchmarks.comparison.compare import run_comparison
from tvmopt.benchmarks.measurements.files import from_document
from tvmopt.benchmarks.measurements.options import CompareOptions, MeasureOptions
from tvmopt.benchmarks.measurements.types import Measurement
from tvmopt.benchmarks.runtimes.base import Runtime
from tvmopt.benchmarks.runtimes.executorch import runner as executorch
from tvmopt.benchmarks.runtimes.litert import runner as litert
from tvmopt.benchmarks.runtimes.mnn import runner as mnn
from tvmopt.benchmarks.runtimes.ncnn import runner as ncnn
from tvmopt.benchmarks.runtimes.opencv import runner as opencv
from tvmopt.pipeline.support.cache import open_conversions

pytestmark = pytest.mark.slow
QUICK = MeasureOptions(rounds=5, turn_s=0.005, warmup_s=0.01)
PEERS = (opencv.RUNTIME, ncnn.RUNTIME, mnn.RUNTIME, litert.RUNTIME, executorch.RUNTIME)
SIXTEEN_BITS = {
    "opencv": ("precision", "fp32"),
    "ncnn": ("off", "fp16 and bf16 storage and arithmetic, Vulkan"),
    "mnn": ("precision", "high (fp32)"),
    "litert": ("precision", "fp32, half precision not allowed"),
    "executorch": ("precision", "fp32"),
}

IMAGES = """
import torch
from torch import nn

class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Hardswish(), nn.Conv2d(8, 12, 1))
        self.classes = nn.Linear(12, 5)

    def forward(self, image):
        maps = self.stem(image)
        boxes = maps.permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4))
        return boxes, self.classes(maps.mean((2, 3))), maps

def build():
    torch.manual_seed(0)
    return Detector(), (torch.randn(1, 3, 8, 10),)
"""
SEQUENCES = """
import torch
from torch import nn

class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 8, batch_first=True)
        self.tags = nn.Linear(8, 3)

    def forward(self, steps):
        return self.tags(self.lstm(steps)[0][:, -1])

def build():
    torch.manual_seed(0)
    return Tagger(), (torch.randn(1, 5, 6),)
"""
WORDS = """
import torch
from torch import nn

class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(50, 8)
        self.tags = nn.Linear(8, 3)

    def forward(self, words):
        return self.tags(self.table(words).mean(1))

def build():
    torch.manual_seed(0)
    return Words(), (torch.tensor([[0, 49, 7, 31]]),)
"""


def measured(runtime: Runtime, model: str, **options: Any) -> list[Measurement]:
    """The rows of `runtime` on `model`; skips where it is not installed."""
    missing = runtime.missing()
    if missing is not None:
        pytest.skip(missing)
    settings = CompareOptions(model, (runtime.name,), measure=QUICK, **options)
    return list(from_document(run_comparison(settings)).measurements)


def write_factory(folder: Path, source: str) -> str:
    path = folder / "tiny.py"
    path.write_text(source)
    return f"{path}:build"


@pytest.mark.parametrize("runtime", PEERS, ids=lambda runtime: runtime.name)
def test_several_outputs_of_a_network_on_images(runtime: Runtime, tmp_path: Path) -> None:
    (row,) = measured(runtime, write_factory(tmp_path, IMAGES))
    assert row.status == "ok", row.message
    assert row.output_error is not None
    assert row.output_error.relative < 1e-5
    assert (row.prepare_s is None) == (runtime.prepared == "never")
    name, value = SIXTEEN_BITS[runtime.name]
    assert row.settings[name] == value
    assert row.settings["threads"] == "1"


@pytest.mark.parametrize("runtime", PEERS, ids=lambda runtime: runtime.name)
def test_a_recurrent_network(runtime: Runtime, tmp_path: Path) -> None:
    (row,) = measured(runtime, write_factory(tmp_path, SEQUENCES))
    assert row.status == "ok", row.message
    assert row.output_error is not None
    assert row.output_error.relative < 1e-5


@pytest.mark.parametrize("runtime", PEERS[:3], ids=lambda runtime: runtime.name)
def test_an_onnx_file(runtime: Runtime, onnx_file: Path) -> None:
    (row,) = measured(runtime, str(onnx_file))
    assert row.status == "ok", row.message
    assert row.output_error is not None
    assert row.output_error.relative < 1e-5


@pytest.mark.parametrize("runtime", PEERS, ids=lambda runtime: runtime.name)
def test_batches(runtime: Runtime, factory: str) -> None:
    rows = measured(runtime, factory, batches=(1, 3))
    assert [(row.batch, row.status, row.message) for row in rows] == [(1, "ok", ""), (3, "ok", "")]
    errors = [row.output_error.relative for row in rows if row.output_error is not None]
    assert np.max(errors) < 1e-5


def test_litert_converts_a_network_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its indices have 64 bits; the converted network takes 32."""
    monkeypatch.setenv("TVMOPT_CACHE", str(tmp_path / "cache"))
    for hits in (0, 1):
        (row,) = measured(litert.RUNTIME, write_factory(tmp_path, WORDS))
        assert row.status == "ok", row.message
        assert row.output_error is not None
        assert row.output_error.relative < 1e-5
        facts = open_conversions().facts()
        assert (facts.entries, facts.hits) == ({"litert": 1}, hits)


def test_litert_takes_the_elements_that_the_converter_chose() -> None:
    taken = litert._as_taken(np.array([0, -1, 2**31 - 1]), np.int32)
    assert taken.dtype == np.int32
    assert taken.tolist() == [0, -1, 2**31 - 1]
    with pytest.raises(ValueError, match="takes int32, which the input's int64 values exceed"):
        litert._as_taken(np.array([2**31]), np.int32)
    odd = np.array([np.nan, np.inf, -0.0], np.float32)
    assert litert._as_taken(odd, np.float32).tobytes() == odd.tobytes()


@pytest.mark.parametrize("runtime", PEERS[3:], ids=lambda runtime: runtime.name)
def test_what_takes_no_onnx_file(runtime: Runtime, onnx_file: Path) -> None:
    (row,) = measured(runtime, str(onnx_file))
    assert row.status == "not_applicable"


def test_batch_axes_are_read_from_the_example() -> None:
    script = """
        ex.input("in1", ncnn.Mat(in1.numpy(), batch_index=233).clone())
        ex.input("in0", ncnn.Mat(in0.numpy(), batch_index=0).clone())
    """
    assert ncnn._batch_axes(script) == [0, 233]
