"""Sequences of different lengths against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, BATCH, WIDTH, HIDDEN = 5, 3, 2, 4


def parts(kind: str, directions: int, states: bool) -> tuple[str, dict[str, np.ndarray]]:
    """The names of the inputs behind the first, and their values."""
    random = np.random.default_rng(0)
    rows = GATES[kind] * HIDDEN
    shapes = {"W": (directions, rows, WIDTH), "R": (directions, rows, HIDDEN), "B": (directions, 2 * rows)}
    names = "W R B n"
    if states:
        shapes["h"] = (directions, BATCH, HIDDEN)
        names += " h"
        if kind == "LSTM":
            shapes |= {"c": (directions, BATCH, HIDDEN), "P": (directions, 3 * HIDDEN)}
            names += " c P"
    return names, {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("kind", list(GATES))
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("constant", [False, True], ids=["computed", "constant"])
def test_lengths(written_out: Any, kind: str, direction: str, states: bool, constant: bool) -> None:
    names, constants = parts(kind, 2 if direction == "bidirectional" else 1, states)
    lengths = np.array([5, 1, 3], np.int32)
    data = np.random.default_rng(1).standard_normal((STEPS, BATCH, WIDTH), np.float32)
    feeds = {"x": data} if constant else {"x": data, "n": lengths}
    made = "y h_n c_n" if kind == "LSTM" else "y h_n"
    node = (kind, f"x {names}", made, {"hidden_size": HIDDEN, "direction": direction})
    constants |= {"n": lengths} if constant else {}
    assert kind in written_out(node, feeds=feeds, without="ReverseSequence", outputs=made, **constants)


def test_full_lengths_need_nothing(written_out: Any) -> None:
    names, constants = parts("GRU", 1, states=False)
    data = np.ones((STEPS, BATCH, WIDTH), np.float32)
    node = ("GRU", f"x {names}", "y", {"hidden_size": HIDDEN})
    left = written_out(node, feeds={"x": data}, without="Where", n=np.full(BATCH, STEPS, np.int32), **constants)
    assert left == ["GRU"]
