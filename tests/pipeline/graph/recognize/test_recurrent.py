from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.graph.passes.merge_reshapes import merge_reshapes
from tvmopt.pipeline.graph.recognize import recognize

PASSES = (recognize, merge_reshapes)
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, BATCH, FEATURES, HIDDEN = 4, 3, 5, 7


def parts(weights: Any, kind: str, directions: int = 1) -> dict[str, np.ndarray]:
    """Constant weights and biases."""
    width = GATES[kind] * HIDDEN
    shapes = {"w": (directions, width, FEATURES), "r": (directions, width, HIDDEN), "b": (directions, 2 * width)}
    return {name: weights(*shape) / 2 for name, shape in shapes.items()}


def run(through: Any, kind: str, outputs: str, *, taken: str = "x w r b", **options: Any) -> Any:
    """One recurrent layer through the passes.

    Args:
        through: the fixture.
        kind: ONNX's operator.
        outputs: names of Y, Y_h and Y_c; ``.`` for an absent one.
        taken: names of the inputs.
        options: the attributes ``values``, further ``inputs``, and constants.
    """
    values = {"hidden_size": HIDDEN, **options.pop("values", {})}
    inputs = {"x": (STEPS, BATCH, FEATURES), **options.pop("inputs", {})}
    names = " ".join(name for name in outputs.split() if name != ".")
    return through((kind, taken, outputs, values), passes=PASSES, inputs=inputs, outputs=names, opset=18, **options)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", GATES)
def test_states_alone(through: Any, weights: Any, kind: str, direction: str) -> None:
    done = run(through, kind, "y", values={"direction": direction}, **parts(weights, kind, 1 + (direction[0] == "b")))
    assert done.ops() == ["dense", "recurrence", "reshape"]
    node = done.node("recurrence")
    assert (node.attrs["kind"], node.attrs["direction"], node.attrs["keeps_cell"]) == (kind.lower(), direction, 0)
    assert node.attrs["operands"] == ""
    done.check()


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("outputs", ["y h c", "y h", ". h", "y . c", ". . c", ". h c"])
def test_every_choice_of_outputs(through: Any, weights: Any, outputs: str, direction: str) -> None:
    constants = parts(weights, "LSTM", 1 + (direction[0] == "b"))
    done = run(through, "LSTM", outputs, values={"direction": direction}, **constants)
    assert done.node("recurrence").attrs["keeps_cell"] == int("c" in outputs)
    assert done.tensor("recurrence").shape[0] == STEPS + ("c" in outputs)
    done.check()


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("constant", [True, False])
def test_first_states(through: Any, weights: Any, kind: str, constant: bool) -> None:
    names = ("h0", "c0") if kind == "LSTM" else ("h0",)
    states = {name: weights(1, BATCH, HIDDEN) for name in names}
    options = states if constant else {"inputs": {name: array.shape for name, array in states.items()}}
    done = run(through, kind, "y", taken=" ".join(["x w r b .", *names]), **options, **parts(weights, kind))
    expected = ["initial_h", "initial_c"] if kind == "LSTM" else ["initial_h"]
    assert str(done.node("recurrence").attrs["operands"]).split() == expected
    done.check()


def test_first_states_of_zeros_cost_nothing(through: Any, weights: Any) -> None:
    zeros = np.zeros((1, BATCH, HIDDEN), np.float32)
    done = run(through, "LSTM", "y", taken="x w r b . z z", z=zeros, **parts(weights, "LSTM"))
    assert len(done.node("recurrence").inputs) == 2
    done.check()


def test_peepholes(through: Any, weights: Any) -> None:
    done = run(through, "LSTM", "y", taken="x w r b . . . p", p=weights(1, 3 * HIDDEN), **parts(weights, "LSTM"))
    assert done.node("recurrence").attrs["operands"] == "peepholes"
    done.check()


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("LSTM", {"clip": 0.5}),
        ("LSTM", {"input_forget": 1}),
        ("LSTM", {"activations": ["Sigmoid", "Softplus", "Relu"]}),
        ("LSTM", {"activations": ["HardSigmoid", "Softsign", "ThresholdedRelu"], "activation_alpha": [0.2, 0.1]}),
        (
            "LSTM",
            {
                "activations": ["Affine", "ScaledTanh", "LeakyRelu"],
                "activation_alpha": [0.5, 1.5, 0.2],
                "activation_beta": [0.1, 0.7],
            },
        ),
        ("GRU", {"activations": ["HardSigmoid", "Elu"], "activation_alpha": [0.3, 0.8], "activation_beta": [0.4]}),
        ("GRU", {"linear_before_reset": 1}),
        ("GRU", {"linear_before_reset": 1, "direction": "bidirectional"}),
        ("GRU", {"linear_before_reset": 0, "clip": 0.5}),
        ("RNN", {"activations": ["Relu"]}),
    ],
)
def test_attributes(through: Any, weights: Any, kind: str, values: Any) -> None:
    directions = 2 if values.get("direction") == "bidirectional" else 1
    run(through, kind, "y h", values=values, **parts(weights, kind, directions)).check()


@pytest.mark.parametrize("kind", GATES)
def test_without_biases(through: Any, weights: Any, kind: str) -> None:
    constants = {name: array for name, array in parts(weights, kind).items() if name != "b"}
    done = run(
        through, kind, "y", taken="x w r", values={"linear_before_reset": 1} if kind == "GRU" else {}, **constants
    )
    assert len(done.node("dense").inputs) == 2
    done.check()


def test_full_lengths_are_accepted(through: Any, weights: Any) -> None:
    lengths = np.full(BATCH, STEPS, np.int32)
    run(through, "GRU", "y", taken="x w r b n", n=lengths, **parts(weights, "GRU")).check()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"n": np.array([4, 3, 4], np.int32)}, r"lengths \[4, 3, 4\]; all must have the full length, 4"),
        ({"inputs": {"n": ("int32", BATCH)}}, "lengths are computed at run time"),
    ],
)
def test_other_lengths_are_refused(through: Any, weights: Any, options: Any, why: str) -> None:
    with pytest.raises(UnsupportedModelError, match=rf"layer 'LSTM0' \(LSTM\): its sequences.* {why}"):
        run(through, "LSTM", "y", taken="x w r b n", **options, **parts(weights, "LSTM"))


@pytest.mark.parametrize(("name", "what"), [("w", "weights"), ("r", "recurrent weights"), ("b", "biases")])
def test_weights_must_be_constant(through: Any, weights: Any, name: str, what: str) -> None:
    constants = parts(weights, "RNN")
    shape = constants.pop(name).shape
    with pytest.raises(UnsupportedModelError, match=f"its {what} are computed at run time; they must be constant"):
        run(through, "RNN", "y", inputs={name: shape}, **constants)


def test_only_float32(through: Any) -> None:
    arrays = {"w": np.ones((1, 3, 2)), "r": np.ones((1, 3, 3))}
    inputs = {"x": ("float64", 2, 1, 2)}
    with pytest.raises(UnsupportedModelError, match="its input is float64; only float32 is supported"):
        through(("RNN", "x w r", "y", {"hidden_size": 3}), passes=PASSES, inputs=inputs, outputs="y", **arrays)
