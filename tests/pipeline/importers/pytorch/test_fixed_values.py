"""Inputs of PyTorch models that become constants, in modules and in exported programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.importers.conftest import SavePython
from tvmopt.benchmarks.runtimes.pytorch.runner import load_network
from tvmopt.pipeline.errors import UnsupportedModelError, UsageError
from tvmopt.pipeline.importers import load_model, survey_model
from tvmopt.pipeline.importers.pytorch.layer_values import framework_values
from tvmopt.pipeline.support.onnxruntime import run_model

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

NETWORK = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 5)

    def forward(self, x, count, scale):
        for _ in range(int(count)):
            x = torch.tanh(self.layer(x))
        if count > 2:
            x = -x
        return x * scale

def build():
    torch.manual_seed(0)
    return Net(), (torch.randn(3, 5), torch.tensor(1), torch.ones(5))
"""
X = np.random.default_rng(0).standard_normal((3, 5), dtype=np.float32)


def computed(net: torch.nn.Module, count: int, scale: tuple[float, ...]) -> np.ndarray:
    x = torch.from_numpy(X)
    with torch.no_grad():
        for _ in range(count):
            x = torch.tanh(net.layer(x))
        result: np.ndarray = ((-x if count > 2 else x) * torch.tensor(scale)).numpy()
    return result


@pytest.mark.parametrize(("count", "scale"), [(3, (0.5, -1.0, 2.0, 0.0, 0.25)), (0, (1.0, 1.0, 1.0, 1.0, 1.0))])
def test_values_decide_what_python_does(save_python: SavePython, count: int, scale: tuple[float, ...]) -> None:
    values = {"count": (float(count),), "scale": scale}
    model = load_model(save_python(NETWORK), input_values=values)
    assert [spec.name for spec in model.inputs] == ["x"]
    namespace: dict[str, object] = {"torch": torch, "nn": torch.nn}
    exec(NETWORK, namespace)  # the network above
    net = namespace["build"]()[0].eval()  # type: ignore[operator]
    wanted = computed(net, count, scale)
    np.testing.assert_allclose(run_model(model.original, {"x": X})["output"], wanted, rtol=1e-5, atol=1e-6)
    operators = [node.op_type for node in model.original.graph.node]
    assert operators.count("Tanh") == count
    assert {"layer/Gemm"} <= {node.name for node in model.original.graph.node} or not count
    # The framework is asked again, for its layers and as a runtime: it gets the same values.
    np.testing.assert_allclose(framework_values(model, {"x": X}, [])["output"], wanted, rtol=1e-5, atol=1e-6)


def test_the_runtime_gets_the_values_too(save_python: SavePython) -> None:
    source = load_model(save_python(NETWORK), input_values={"count": (2,), "scale": (3.0,)}).source
    fields = {"spec": source.spec, "kind": source.kind, "path": str(source.path), "factory": str(source.factory)}
    net = load_network({**fields, "values": '{"count": [2], "scale": [3.0]}'})
    with torch.no_grad():
        result = net(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(result, computed(net, 2, (3.0,) * 5), rtol=1e-5, atol=1e-6)


def test_without_values_it_cannot_be_traced(save_python: SavePython) -> None:
    with pytest.raises(UnsupportedModelError, match=r"cannot trace .* constant with --input-value\): Guard"):
        load_model(save_python(NETWORK))


def test_a_survey_takes_values(save_python: SavePython) -> None:
    _, found = survey_model(save_python(NETWORK), input_values={"count": (1,), "scale": (1.0,)})
    assert [value.name for value in found.original.graph.input] == ["x"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cuont": (1,)}, r"unknown input 'cuont'; did you mean count\? \(known: count, scale, x\)"),
        ({"count": (1, 2)}, "input 'count' needs 1 number, got 2"),
        ({"count": (0.5,)}, "input 'count' is of int64, which cannot hold 0.5"),
        ({"scale": (1.0, 2.0)}, "input 'scale' needs 1 or 5 numbers, got 2"),
        ({"x": (0.0,), "count": (1,), "scale": (1.0,)}, r"all inputs are fixed \(x, count, scale\)"),
    ],
)
def test_wrong_values(save_python: SavePython, values: dict[str, tuple[float, ...]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_model(save_python(NETWORK), input_values=values)


class Chosen(torch.nn.Module):
    """Doubles or negates, as a flag says that comes with the data."""

    def forward(self, x: torch.Tensor, flag: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.cond(flag, lambda x: 2 * x, lambda x: -x, (x,))
        return result


@pytest.mark.parametrize(("flag", "factor"), [(1, 2), (0, -1)])
def test_an_exported_program(tmp_path: Path, flag: int, factor: int) -> None:
    examples = (torch.ones(2, 5), torch.tensor(True))
    rows = torch.export.Dim("rows")
    program = torch.export.export(Chosen(), examples, dynamic_shapes={"x": {0: rows}, "flag": None})
    path = tmp_path / "chosen.pt2"
    torch.export.save(program, path)
    model = load_model(str(path), {"x": (3, 5)}, input_values={"flag": (flag,)})
    assert [(spec.name, spec.shape) for spec in model.inputs] == [("x", (3, 5))]
    (output,) = run_model(model.original, {"x": X}).values()
    np.testing.assert_array_equal(output, factor * X)
    assert not any(node.op_type == "If" for node in model.normalized.graph.node)
    (asked,) = framework_values(model, {"x": X}, []).values()
    np.testing.assert_array_equal(asked, factor * X)
    net = load_network({"spec": "", "kind": "pt2", "path": str(path), "values": f'{{"flag": [{flag}]}}'})
    np.testing.assert_array_equal(net(torch.from_numpy(X)).numpy(), factor * X)
