"""PyTorch's values under the names of the ONNX form, for modules and for exported programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.importers.conftest import SavePython
from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers import example_inputs, load_model
from tvmopt.pipeline.importers.check.normalized import with_outputs
from tvmopt.pipeline.importers.pytorch.layer_values import framework_values
from tvmopt.pipeline.support.onnxruntime import run_model

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

NETWORK = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.last = nn.Linear(8, 4)

    def forward(self, x, scale):
        x = self.first(x) * scale
        return {"maps": x, "scores": self.last(x.mean((2, 3)))}

def build():
    torch.manual_seed(0)
    return Net(), (torch.zeros(2, 3, 6, 6), torch.zeros(1))

def unseeded():
    return Net(), (torch.zeros(2, 3, 6, 6), torch.zeros(1))
"""


def test_a_module(save_python: SavePython) -> None:
    model = load_model(save_python(NETWORK))
    inputs = example_inputs(model, seed=5)
    names = [name for node in model.original.graph.node for name in node.output]
    expected = run_model(with_outputs(model.original, names), inputs, names)
    found = framework_values(model, inputs, names)
    # BatchNorm, ReLU, product, mean, product with the weights: all are there, and outputs have their own names.
    assert {"maps", "scores", "relu", "mean"} <= set(found)
    assert found.keys() & set(names) == found.keys()
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_only_what_is_wanted_is_kept(save_python: SavePython) -> None:
    model = load_model(save_python(NETWORK))
    found = framework_values(model, example_inputs(model), ["relu"])
    assert set(found) == {"relu", "maps", "scores"}


def test_inputs_stay_as_they_are(save_python: SavePython) -> None:
    code = "class Net(nn.Module):\n    def forward(self, x):\n        return x.add_(1) * 2\n"
    model = load_model(save_python(f"{code}\ndef build():\n    return Net(), (torch.zeros(3),)"))
    inputs = example_inputs(model)
    before = {name: array.copy() for name, array in inputs.items()}
    found = framework_values(model, inputs, [])
    np.testing.assert_array_equal(inputs["x"], before["x"])
    np.testing.assert_array_equal(found["output"], (before["x"] + 1) * 2)


def test_weights_that_change_from_call_to_call(save_python: SavePython) -> None:
    model = load_model(save_python(NETWORK, "unseeded"))
    with pytest.raises(UnsupportedModelError, match=r"unseeded\(\) returned a different network the second time"):
        framework_values(model, example_inputs(model), [])


def test_an_exported_program_at_another_batch(tmp_path: Path) -> None:
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4)).eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(net, (torch.zeros(2, 6),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "net.pt2")
    model = load_model(str(tmp_path / "net.pt2"), batch=3)
    (name,) = (spec.name for spec in model.inputs)
    inputs = example_inputs(model)
    assert inputs[name].shape == (3, 6)
    found = framework_values(model, inputs, ["relu"])
    with torch.no_grad():
        np.testing.assert_allclose(found["output"], net(torch.from_numpy(inputs[name])).numpy(), rtol=1e-5)
        np.testing.assert_allclose(found["relu"], net[:2](torch.from_numpy(inputs[name])).numpy(), rtol=1e-5)
