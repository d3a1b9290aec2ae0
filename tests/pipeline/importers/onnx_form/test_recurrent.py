from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tvmopt.pipeline.importers.onnx_form.operators import find_unsupported
from tvmopt.pipeline.importers.onnx_form.recurrent import activations_of, put_time_first, why_not_recurrent
from tvmopt.pipeline.support.onnxruntime import run_model


def node(kind: str, **attributes: Any) -> Any:
    return helper.make_node(kind, ["x", "w", "r"], ["y"], "layer", **attributes)


@pytest.mark.parametrize(
    ("kind", "names"),
    [("LSTM", ("sigmoid", "tanh", "tanh")), ("GRU", ("sigmoid", "tanh")), ("RNN", ("tanh",))],
)
def test_default_activations(kind: str, names: tuple[str, ...]) -> None:
    assert activations_of(node(kind)) == names
    assert why_not_recurrent(node(kind)) is None


@pytest.mark.parametrize(
    ("kind", "activations"),
    [
        ("RNN", ["Relu"]),
        ("RNN", ["Relu", "Relu"]),
        ("GRU", ["TANH", "sigmoid"]),
        ("LSTM", ["Softplus", "Tanh", "Relu"]),
        ("LSTM", ["HardSigmoid", "Softsign", "LeakyRelu"]),
    ],
)
def test_other_activations(kind: str, activations: list[str]) -> None:
    assert why_not_recurrent(node(kind, activations=activations)) is None


def test_constants_go_to_the_functions_that_have_some() -> None:
    names, alpha, beta = ["Tanh", "Elu", "HardSigmoid"], [2.0, 0.3], [0.4]
    given = node("LSTM", activations=names, activation_alpha=alpha, activation_beta=beta)
    assert activations_of(given) == ("tanh", "elu:2", "hardsigmoid:0.300000012:0.400000006")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (node("LSTM", activations=["HardSine", "Tanh", "Cosine"]), "LSTM with activation cosine and hardsine"),
        (node("RNN", activations=["Affine"], activation_alpha=[2.0]), "RNN with activation affine"),
        (node("RNN", activations=["Tanh", "Relu"]), "RNN whose directions have different activations"),
    ],
)
def test_refused_recurrences_are_listed(parse: Any, given: Any, why: str) -> None:
    assert why_not_recurrent(given) == why
    model = parse("g (float[1] x) => (float[1] y) { y=Relu(x) }")
    model.graph.node.append(given)
    (found,) = find_unsupported(model)
    assert (found.operator, found.first) == (why, "layer")


@pytest.mark.parametrize("directions", [1, 2])
def test_time_comes_first(onnx_model: Any, weights: Any, directions: int) -> None:
    """The same weights in both layouts; onnxruntime runs only ONNX's default layout."""
    steps, batch, features, hidden = 4, 3, 5, 2
    constants = {
        "w": weights(directions, 4 * hidden, features),
        "r": weights(directions, 4 * hidden, hidden),
        "h": weights(directions, batch, hidden),
        "c": weights(directions, batch, hidden),
    }
    values = {"hidden_size": hidden, "direction": "bidirectional" if directions == 2 else "forward"}
    described = ("LSTM", "x w r . . h c", "y last cell")
    plain = onnx_model((*described, values), inputs={"x": (steps, batch, features)}, outputs="y last cell", **constants)
    constants |= {name: np.ascontiguousarray(constants[name].transpose(1, 0, 2)) for name in "hc"}
    turned = onnx_model(
        (*described, {**values, "layout": 1}),
        inputs={"x": (batch, steps, features)},
        outputs="y last cell",
        **constants,
    )
    put_time_first(turned.graph)
    onnx.checker.check_model(turned, full_check=True)
    x = weights(steps, batch, features)
    expected = run_model(plain, {"x": x})
    made = run_model(turned, {"x": np.ascontiguousarray(x.transpose(1, 0, 2))})
    np.testing.assert_allclose(made["y"], expected["y"].transpose(2, 0, 1, 3), atol=1e-6)
    for name in ("last", "cell"):
        np.testing.assert_allclose(made[name], expected[name].transpose(1, 0, 2), atol=1e-6)


def test_other_nodes_stay_as_they_are(onnx_model: Any, weights: Any) -> None:
    model = onnx_model(
        ("RNN", "x w r", "y", {"hidden_size": 2}),
        inputs={"x": (4, 3, 5)},
        outputs="y",
        w=weights(1, 2, 5),
        r=weights(1, 2, 2),
    )
    before = model.SerializeToString()
    put_time_first(model.graph)
    assert model.SerializeToString() == before
