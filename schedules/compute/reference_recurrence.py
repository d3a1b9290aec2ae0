"""What a ``recurrence`` workload should compute, in numpy: step by step, as ONNX defines LSTM, GRU and RNN."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.workload import Workload

Array = npt.NDArray[Any]
Function = Callable[[Array], Array]


def recurrence(workload: Workload, inputs: Sequence[Array]) -> Array:
    """The states of all steps ``(T, D·N, H)``, followed by the last cell if the workload keeps it."""
    projections, weights = (array.astype(np.float64) for array in inputs[:2])
    operands = dict(zip(workload.attr("operands").split(), inputs[2:], strict=True))
    batch = projections.shape[1]
    steps = workload.output.shape[0] - workload.attr("keeps_cell")
    directions, _, hidden = weights.shape
    projections = projections.reshape(-1, batch, directions, weights.shape[1])
    projections = np.broadcast_to(projections, (steps, *projections.shape[1:]))
    output = np.zeros((workload.output.shape[0], directions, batch, hidden))
    for direction in range(directions):
        own = {name: array[direction].astype(np.float64) for name, array in operands.items()}
        backward = workload.attr("direction") == "reverse" or direction == 1
        times = range(steps)[::-1] if backward else range(steps)
        states = _states(workload, projections[list(times), :, direction], weights[direction], own)
        for time, (h, c) in zip(times, states, strict=True):
            output[time, direction] = h
            if workload.attr("keeps_cell"):
                output[steps, direction] = c
    return output.astype(np.float32).reshape(workload.output.shape)


def _states(workload: Workload, x: Array, weights: Array, own: Mapping[str, Array]) -> Iterator[tuple[Array, Array]]:
    """State and cell after each step of one direction; `x` is (T, N, G·H) in the order of the steps."""
    hidden = weights.shape[1]
    nothing = np.zeros((x.shape[1], hidden))
    h, c = own.get("initial_h", nothing), own.get("initial_c", nothing)
    cell = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}[workload.attr("kind")]
    names = workload.attr("activations").split()
    # As in onnxruntime, inputs of gates are clipped; LSTM's cell, the input of its last function, is not.
    functions = [_activation(name, workload.attr("clip") if i < 2 else 0.0) for i, name in enumerate(names)]
    for now in x:
        h, c = cell(workload, functions, (now, h, c), (weights, own))
        yield h, c


def _activation(name: str, clip: float) -> Function:
    kind, *constants = name.split(":")
    a, b = (*map(float, constants), 0.0, 0.0)[:2]
    functions: dict[str, Function] = {
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "tanh": np.tanh,
        "relu": lambda x: np.maximum(x, 0),
        "softplus": lambda x: np.logaddexp(x, 0),
        "softsign": lambda x: x / (1 + np.abs(x)),
        "affine": lambda x: a * x + b,
        "elu": lambda x: np.where(x < 0, a * np.expm1(x), x),
        "hardsigmoid": lambda x: np.clip(a * x + b, 0, 1),
        "leakyrelu": lambda x: np.where(x < 0, a * x, x),
        "scaledtanh": lambda x: a * np.tanh(b * x),
        "thresholdedrelu": lambda x: np.where(x > a, x, 0),
    }
    function = functions[kind]
    return (lambda x: function(np.clip(x, -clip, clip))) if clip else function


Now = tuple[Array, Array, Array]
"""The projections of a step, and the state and the cell before it."""
Weights = tuple[Array, Mapping[str, Array]]
"""The recurrent weights and the other operands of a direction."""


def _lstm(workload: Workload, functions: Sequence[Function], now: Now, weights: Weights) -> tuple[Array, Array]:
    x, h, c = now
    f, g, last = functions
    i_in, o_in, f_in, g_in = np.split(x + h @ weights[0].T, 4, axis=1)
    i_peep, o_peep, f_peep = np.split(weights[1].get("peepholes", np.zeros(3 * h.shape[1])), 3)
    i = f(i_in + i_peep * c)
    forget = 1 - i if workload.attr("input_forget") else f(f_in + f_peep * c)
    c = forget * c + i * g(g_in)
    return f(o_in + o_peep * c) * last(c), c


def _gru(workload: Workload, functions: Sequence[Function], now: Now, weights: Weights) -> tuple[Array, Array]:
    x, h, c = now
    f, g = functions
    bias = weights[1].get("bias", np.zeros(h.shape[1]))
    z_x, r_x, n_x = np.split(x, 3, axis=1)
    z_w, r_w, n_w = np.split(weights[0], 3)
    z, r = f(z_x + h @ z_w.T), f(r_x + h @ r_w.T)
    if workload.attr("linear_before_reset"):
        n = g(n_x + r * (h @ n_w.T + bias))
    else:
        n = g(n_x + (r * h) @ n_w.T + bias)
    return (1 - z) * n + z * h, c


def _rnn(workload: Workload, functions: Sequence[Function], now: Now, weights: Weights) -> tuple[Array, Array]:
    x, h, c = now
    return functions[0](x + h @ weights[0].T), c
