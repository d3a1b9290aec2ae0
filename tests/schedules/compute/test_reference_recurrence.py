"""The numpy reference of recurrences against PyTorch's modules and onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.workloads.recurrences import recurrence
from tvmopt.schedules.compute.reference import reference

STEPS, BATCH, FEATURES, HIDDEN = 6, 3, 4, 7
ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where PyTorch has each of ONNX's gates."""


def onnx_order(kind: str, array: np.ndarray) -> np.ndarray:
    gates = array.reshape(len(ORDER[kind]), HIDDEN, *array.shape[1:])
    return gates[list(ORDER[kind])].reshape(array.shape)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("directions", [1, 2])
def test_pytorch_agrees(kind: str, directions: int) -> None:
    import torch

    torch.manual_seed(0)
    module = getattr(torch.nn, kind)(FEATURES, HIDDEN, bidirectional=directions == 2)
    x, h, c = torch.randn(STEPS, BATCH, FEATURES), *torch.randn(2, directions, BATCH, HIDDEN)
    with torch.no_grad():
        y, last = module(x, (h, c) if kind == "LSTM" else h)
    projections, weights, biases = [], [], []
    for suffix in ("", "_reverse")[:directions]:
        own = [getattr(module, f"{name}_l0{suffix}").detach().numpy() for name in ("weight_ih", "weight_hh")]
        own += [getattr(module, f"{name}_l0{suffix}").detach().numpy() for name in ("bias_ih", "bias_hh")]
        w, r, wb, rb = (onnx_order(kind, array) for array in own)
        held_back = rb.reshape(-1, HIDDEN)[-1] if kind == "GRU" else np.zeros(0, np.float32)
        rb = np.concatenate([rb[: rb.size - held_back.size], np.zeros_like(held_back)])
        projections.append(x.numpy() @ w.T + wb + rb)
        weights.append(r)
        biases.append(held_back)
    operands = {"LSTM": "initial_h initial_c", "GRU": "bias initial_h", "RNN": "initial_h"}[kind]
    given = {"bias": np.stack(biases), "initial_h": h.numpy(), "initial_c": c.numpy()}
    workload = recurrence(
        kind.lower(),
        steps=STEPS,
        batch=BATCH,
        directions=directions,
        hidden=HIDDEN,
        operands=operands,
        linear_before_reset=1,
        keeps_cell=int(kind == "LSTM"),
    )
    arrays = [np.concatenate(projections, axis=2), np.stack(weights), *(given[name] for name in operands.split())]
    made = reference(workload, arrays)
    states = made[:STEPS].reshape(STEPS, directions, BATCH, HIDDEN).transpose(0, 2, 1, 3).reshape(y.shape)
    np.testing.assert_allclose(states, y.numpy(), atol=1e-6)
    if kind == "LSTM":
        np.testing.assert_allclose(made[STEPS].reshape(last[1].shape), last[1].numpy(), atol=1e-6)


CASES: list[tuple[str, dict[str, Any], str]] = [
    ("LSTM", {"clip": 0.4}, ""),
    ("LSTM", {"input_forget": 1}, "initial_c"),
    ("LSTM", {"activations": ["Softplus", "Tanh", "Relu"]}, ""),
    ("LSTM", {}, "peepholes"),
    ("LSTM", {"clip": 0.7}, "initial_h initial_c peepholes"),
    ("GRU", {"linear_before_reset": 0}, ""),
    ("GRU", {"linear_before_reset": 0, "clip": 0.6}, "initial_h"),
    ("GRU", {"linear_before_reset": 1}, "bias"),
    ("RNN", {"activations": ["Relu"]}, "initial_h"),
]


@pytest.mark.parametrize(("kind", "attributes", "operands"), CASES)
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_onnxruntime_agrees(
    onnx_model: Any, weights: Any, kind: str, attributes: Any, operands: str, direction: str
) -> None:
    """The input's weights are the identity, so that the projections are the input."""
    from tvmopt.pipeline.support.onnxruntime import run_model

    attrs: dict[str, Any] = {**attributes, "direction": direction, "keeps_cell": int(kind == "LSTM")}
    if "activations" in attrs:
        attrs["activations"] = " ".join(name.lower() for name in attrs["activations"])
    sizes = {"steps": 9, "batch": 2, "hidden": 5}
    workload = recurrence(kind.lower(), operands=operands, **sizes, **attrs)
    arrays = [weights(*tensor.shape) for tensor in workload.inputs]
    if "clip" in attributes:
        # Only positive inputs drive the cell past the clip.
        arrays = [np.abs(array) for array in arrays]
    width = workload.inputs[1].shape[1]
    constants = {"w": np.eye(width, dtype=np.float32)[None], "r": arrays[1], "b": np.zeros((1, 2 * width), np.float32)}
    given = dict(zip(operands.split(), arrays[2:], strict=True))
    if "bias" in given:
        constants["b"][0, -5:] = given.pop("bias")[0]
    names = {"initial_h": "h", "initial_c": "c", "peepholes": "p"}
    constants |= {names[name]: array for name, array in given.items()}
    taken = [
        "x",
        "w",
        "r",
        "b",
        ".",
        *(name if name in constants else "." for name in "hcp"[: 3 if kind == "LSTM" else 1]),
    ]
    model = onnx_model(
        (
            kind,
            " ".join(taken),
            "y . c_last" if kind == "LSTM" else "y",
            {**attributes, "direction": direction, "hidden_size": 5},
        ),
        inputs={"x": workload.inputs[0].shape},
        outputs="y c_last" if kind == "LSTM" else "y",
        **constants,
    )
    expected = run_model(model, {"x": arrays[0]})
    made = reference(workload, arrays)
    np.testing.assert_allclose(made[:9], expected["y"][:, 0], rtol=1e-5, atol=1e-5)
    if kind == "LSTM":
        np.testing.assert_allclose(made[9:], expected["c_last"], rtol=1e-5, atol=1e-5)
