"""A network with everything that makes mapping kernels to layers hard, and jobs that profile it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.support.npz import save_arrays
from tvmopt.pipeline.types import ImportedModel

FACTORY = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(16, 16, 1)
        self.conv = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.last = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x):
        y = self.last(self.relu(self.norm(self.conv(x))))
        return self.relu(y + self.down(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.block = Block()
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        x = self.block(torch.sigmoid(self.stem(x)))
        return self.head(torch.cat([x, x], 1)[:, 4:20].mean((2, 3)))


def build():
    torch.manual_seed(0)
    return Net().eval(), (torch.randn(1, 3, 32, 32),)
"""


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> ImportedModel:
    """The network, imported."""
    path = tmp_path_factory.mktemp("network") / "net.py"
    path.write_text(FACTORY)
    return load_model(f"{path}:build")


@pytest.fixture(scope="session")
def job(network: ImportedModel, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The job that a profiler gets to profile the network on one thread."""
    folder = tmp_path_factory.mktemp("job")
    onnx.save(network.original, folder / "net.onnx")
    (spec,) = network.inputs
    images = np.random.default_rng(0).standard_normal((4, *spec.shape), np.float32)
    save_arrays(folder / "inputs.npz", {spec.name: images[0]})
    save_arrays(folder / "calibration.npz", {spec.name: images})
    source = network.source
    return Job(
        onnx=str(folder / "net.onnx"),
        inputs=str(folder / "inputs.npz"),
        calibration=str(folder / "calibration.npz"),
        outputs=tuple(output.name for output in network.outputs),
        batch=1,
        threads=1,
        folder=str(folder),
        source={"spec": source.spec, "kind": source.kind, "path": str(source.path), "factory": source.factory or ""},
    )
