"""Recurrence workloads, and inputs that keep their states bounded."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from tvmopt.schedules.compute.recurrent import GATES
from tvmopt.schedules.workload import Attr, Tensor, Workload

ACTIVATIONS = {"lstm": "sigmoid tanh tanh", "gru": "sigmoid tanh", "rnn": "tanh"}


def recurrence(
    kind: str = "lstm",
    *,
    steps: int = 5,
    batch: int = 1,
    directions: int = 1,
    hidden: int = 7,
    operands: str = "",
    changed: Mapping[str, Attr] | None = None,
    **attrs: Attr,
) -> Workload:
    """A ``recurrence`` workload.

    Args:
        kind: ``lstm``, ``gru`` or ``rnn``.
        steps: T.
        batch: N.
        directions: 1 or 2.
        hidden: H.
        operands: names of the optional operands.
        changed: attributes that may contradict the shapes.
        attrs: attributes that differ from their defaults.
    """
    width = len(GATES[kind]) * hidden
    state = (directions, batch, hidden)
    shapes = {
        "bias": (directions, hidden),
        "initial_h": state,
        "initial_c": state,
        "peepholes": (directions, 3 * hidden),
    }
    inputs = [(steps, batch, directions * width), (directions, width, hidden), *(shapes[x] for x in operands.split())]
    values: dict[str, Attr] = {
        "kind": kind,
        "direction": "bidirectional" if directions == 2 else "forward",
        "activations": ACTIVATIONS[kind],
        "clip": 0.0,
        "input_forget": 0,
        "linear_before_reset": 0,
        "keeps_cell": 0,
        "operands": operands,
        **attrs,
        **(changed or {}),
    }
    kept = values["keeps_cell"]
    assert isinstance(kept, int)
    output = Tensor((steps + kept, directions * batch, hidden))
    return Workload("recurrence", tuple(Tensor(shape) for shape in inputs), output, tuple(sorted(values.items())))


def tame_inputs(workload: Workload, seed: int = 0) -> list[np.ndarray]:
    """Random inputs with small recurrent weights; weights of order one make states chaotic and amplify rounding."""
    random = np.random.default_rng(seed)
    arrays = [random.standard_normal(tensor.shape, np.float32) for tensor in workload.inputs]
    arrays[1] /= np.float32(math.sqrt(workload.inputs[1].shape[-1]))
    return arrays
