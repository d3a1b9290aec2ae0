"""Inputs on which a model runs: limits read from its layers, examples, and what onnxruntime accepts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tvmopt.pipeline.errors import ModelInputError, UnsupportedModelError
from tvmopt.pipeline.importers import example_inputs, load_model
from tvmopt.pipeline.support.onnxruntime import run_model

Save = Callable[..., str]
TABLE = np.arange(15, dtype=np.float32).reshape(5, 3)


@pytest.mark.parametrize(
    "graph",
    [
        "g (int64[200] i, float[5,3] w) => (float[200,3] y) { y = Gather(w, i) }",
        "g (int64[4,200] i, float[4,5] w) => (float[4,200] y) { y = GatherElements<axis=1>(w, i) }",
        "g (int64[200,2] i, float[9,5] w) => (float[200] y) { y = GatherND(w, i) }",
        "g (int64[4,99,1] i, float[4,5,2] w) => (float[4,99,2] y) { y = GatherND<batch_dims=1>(w, i) }",
        "g (int64[2,1] i, float[2,3] u, float[5,3] w) => (float[5,3] y) { y = ScatterND(w, i, u) }",
        "g (int64[2,3] i, float[2,3] u, float[5,3] w) => (float[5,3] y) { y = ScatterElements(w, i, u) }",
        "g (int64[200] i) => (float[200,3] y) { j = Add(two, i) y = Gather(table, j) }",
        "g (int64[200] i) => (float[200,3] y) { j = Sub(i, two) y = Gather(table, j) }",
        "g (int64[200] i) => (float[200,3] y) { j = Mul(i, two) y = Gather(table, j) }",
        "g (int64[200] i) => (float[200,3] y) { j = Mul(i, i) k = Sub(j, two) y = Gather(table, k) }",
        "g (int32[200] i) => (float[201,3] y) { j = Cast<to=7>(i) k = Concat<axis=0>(j, two) y = Gather(table, k) }",
        "g (int32[200] i) => (float[199,3] y) { j = Cast<to=7>(i) k = Slice(j, one, end) y = Gather(table, k) }",
        "g (int64[200] a, int64[200] b) => (int64[200] y) { y = Div(a, b) }",
        "g (int32[200] a, int32[200] b) => (int32[200] y) { y = Mod(a, b) }",
        "g (int64[200] a, int64[200] b) => (int64[200] y) { c = Sub(b, two) y = Div(a, c) }",
        "g (int64[200] a, int64[200] b) => (float[200,3] y) { c = Sub(b, two) d = Div(a, c) y = Gather(table, d) }",
        "g (float[4,6] x, float r) => (float[4,6] y) { y = Dropout(x, r) }",
    ],
)
@pytest.mark.parametrize("seed", [0, 7])
def test_onnxruntime_runs_the_model_on_its_example_inputs(save_onnx: Save, graph: str, seed: int) -> None:
    constants = {
        "table": TABLE,
        "two": np.array([2]),
        "one": np.array([1]),
        "end": np.array([200]),
    }
    used = {name: array for name, array in constants.items() if f"{name}," in graph or f"{name})" in graph}
    model = load_model(save_onnx(graph, **used))
    inputs = example_inputs(model, seed)
    assert all(array.shape == spec.shape for array, spec in zip(inputs.values(), model.inputs, strict=True))
    assert run_model(model.original, inputs)


def test_a_layer_reads_an_output(save_onnx: Save) -> None:
    model = load_model(
        save_onnx(
            "g (float[1,4,8] x) => (float[1,4,8] h, float[1,8] p) { h = Relu(x) p = Gather<axis=1>(h, z) }",
            z=np.array(0),
        )
    )
    assert example_inputs(model)["x"].shape == (1, 4, 8)


IMPOSSIBLE = "g (int64[3] i) => (float[3,3] y) { j = Add(i, far) k = Max(j, far) y = Gather(table, k) }"


def test_a_model_that_runs_on_nothing_is_refused_with_its_layer_and_the_option(save_onnx: Save) -> None:
    path = save_onnx(IMPOSSIBLE, far=np.array([99]), table=TABLE)
    with pytest.raises(UnsupportedModelError, match=r"Gather.*--inputs FILE\.npz"):
        load_model(path)


def test_given_inputs_are_the_examples_and_settle_open_shapes(save_onnx: Save) -> None:
    graph = """g (int64[n] i, float[n,2] x) => (float[n,3] y, float[n,2] z) {
        j = Mul(i, i) k = Sub(j, c) y = Gather(table, k) z = Relu(x)
    }"""
    path = save_onnx(graph, c=np.array([361]), table=TABLE)
    given = {"i": np.array([19, -19]), "x": np.ones((2, 2), np.float32)}
    model = load_model(path, inputs=given)
    assert [spec.shape for spec in model.inputs] == [(2,), (2, 2)]
    assert all(np.array_equal(example_inputs(model, seed)[name], given[name]) for seed in (0, 3) for name in given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"i": np.array([5, 0])}, "does not run on the inputs given: .*Gather"),
        ({"i": np.array([0, 0], np.int32)}, "'i' has dtype int32, the model's is int64"),
        ({"j": np.array([0, 0])}, "missing 'i', unknown 'j'"),
    ],
)
def test_given_inputs_that_do_not_suit_are_named(save_onnx: Save, given: dict[str, np.ndarray], says: str) -> None:
    path = save_onnx("g (int64[2] i) => (float[2,3] y) { y = Gather(table, i) }", table=TABLE)
    with pytest.raises(Exception, match=says) as caught:
        load_model(path, inputs=given)
    assert caught.type is ModelInputError


FACTORIES = """
class Net(nn.Module):
    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.kind, self.table = kind, nn.Embedding(7, 4)

    def forward(self, x):
        if self.kind == "far":
            return self.table((x - 1000) ** 2)
        if self.kind == "logarithm":
            return torch.log(x)
        return torch.log(2.0 + -x)

def far():
    return Net("far"), (torch.tensor([[1000, 1001, 1002], [998, 999, 1000]]),)

def logarithm():
    return Net("logarithm"), (torch.tensor([0.5, 1.0, 2.0]),)

def mask():
    return Net("mask"), (torch.tensor([0, 1, 1, 0]),)
"""


@pytest.mark.parametrize(("factory", "low", "high"), [("far", 998, 1002), ("logarithm", 0.5, 2.0), ("mask", 0, 1)])
def test_a_factory_shows_which_values_suit(
    save_python: Callable[..., str], factory: str, low: float, high: float
) -> None:
    model = load_model(save_python(FACTORIES, factory))
    for seed in range(3):
        (array,) = example_inputs(model, seed).values()
        assert low <= array.min()
        assert array.max() <= high
        assert all(
            np.isfinite(value).all() for value in run_model(model.original, {model.inputs[0].name: array}).values()
        )
