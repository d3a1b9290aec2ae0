"""Models small enough to load, quantise and run in moments, and one committed measurement file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tvmopt.benchmarks.measurements.files import read_comparisons
from tvmopt.benchmarks.measurements.types import Comparison

DATA = Path(__file__).parent / "data"

FACTORY = """
import torch

def build():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(8, 5),
    )
    return module, (torch.zeros(1, 3, 16, 16),)
"""


@pytest.fixture
def results() -> Path:
    """A measurement file of version 1 as `tvmopt compare` wrote it, with fewer samples."""
    return DATA / "mobilenet_v2.json"


@pytest.fixture
def comparison(results: Path) -> Comparison:
    """The comparison in `results`."""
    (only,) = read_comparisons(results)
    return only


@pytest.fixture
def factory(tmp_path: Path) -> str:
    """MODEL of a small convolutional network in PyTorch, for pictures of 16×16."""
    path = tmp_path / "tiny.py"
    path.write_text(FACTORY)
    return f"{path}:build"


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small convolutional network in ONNX, for pictures of 16×16."""
    random = np.random.default_rng(0)
    weights = {
        "conv": random.standard_normal((8, 3, 3, 3)),
        "bias": random.standard_normal(8),
        "dense": random.standard_normal((8, 5)),
    }
    nodes = [
        helper.make_node("Conv", ["image", "conv", "bias"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 16, 16))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 5))],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = tmp_path_factory.mktemp("models") / "tiny.onnx"
    onnx.save(model, path)
    return path
