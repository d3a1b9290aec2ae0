"""The fused recurrent operator: layers and directions of LSTM, GRU or RNN, their weights in one row of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.mxnet.layers.work import Open, Translate, Work

Array = npt.NDArray[Any]

_GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn_relu": (0,), "rnn_tanh": (0,)}
"""By mode, where each of ONNX's gates stands in MXNet's order: i, f, c, o and r, z, n."""
_MOST_LAYERS = 64


def _rnn(work: Work) -> list[str]:
    """Layers one after another; only the last one's states are the first output.

    The row holds the weights of all layers and directions, then their biases; those of the input before those of the
    state. (MXNet's src/operator/rnn-inl.h)
    """
    value = work.node.value
    mode, hidden, layers = value("mode", ""), value("state_size", 0), value("num_layers", 1)
    directions = 2 if value("bidirectional", False) else 1
    if mode not in _GATES or len(work.shape) != 3 or hidden < 1 or not 1 <= layers <= _MOST_LAYERS:
        raise InputFileError(f"{work}: mode {mode}, {hidden} states, {layers} layers, shape {list(work.shape)}")
    if value("projection_size") or value("use_sequence_length", False) or value("lstm_state_clip_min") is not None:
        raise work.refuse("projections, sequence lengths or clipped states", "leave them out of the network")
    weights, biases = _unpacked(work, mode, hidden, (layers, directions))
    operator = {"lstm": "LSTM", "gru": "GRU"}.get(mode, "RNN")
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": "bidirectional" if directions == 2 else "forward"}
    if operator == "GRU":
        attributes["linear_before_reset"] = 1
    elif operator == "RNN":
        attributes["activations"] = [mode.removeprefix("rnn_").capitalize()] * directions
    builder, x, ends = work.builder, work.x, list[list[str]]()
    steps, batch, _ = work.shape
    for layer in range(layers):
        constants = [builder.constant(array, name) for array, name in zip(weights[layer], "WR", strict=True)]
        constants.append(builder.constant(biases[layer], "B"))
        states = [_first_state(work, index, layer * directions, directions) for index in _states(mode)]
        operands = [x, *constants, *(["", *states] if any(states) else [])]
        sequence, *last = builder.add_many(operator, operands, 1 + len(_states(mode)), **attributes)
        turned = builder.add("Transpose", sequence, perm=[0, 2, 1, 3])
        x = builder.add("Reshape", turned, builder.integers([steps, batch, directions * hidden]))
        ends.append(last)
    if not value("state_outputs", False):
        return [x]
    made = [list(parts) for parts in zip(*ends, strict=True)]
    return [x, *(parts[0] if layers == 1 else builder.add("Concat", *parts, axis=0) for parts in made)]


def _states(mode: str) -> tuple[int, ...]:
    """The operands that are first states."""
    return (2, 3) if mode == "lstm" else (2,)


def _first_state(work: Work, index: int, start: int, count: int) -> str:
    """The first state of a layer; nothing where it is zero, which is ONNX's default."""
    if index >= len(work.operands) or isinstance(work.operands[index], Open):
        return ""
    integers, whole = work.builder.integers, work.value(index)
    if work.builder.shape(whole)[0] == count:
        return whole
    return work.builder.add("Slice", whole, integers([start]), integers([start + count]), integers([0]))


def _unpacked(
    work: Work, mode: str, hidden: int, sizes: tuple[int, int]
) -> tuple[list[tuple[Array, Array]], list[Array]]:
    """The weights of inputs and of states of each layer, and its biases, in ONNX's order of gates."""
    layers, directions = sizes
    gates, order = len(_GATES[mode]), list(_GATES[mode])
    widths = [work.shape[2], *[hidden * directions] * (layers - 1)]
    count = sum(directions * gates * hidden * (width + hidden + 2) for width in widths)
    row, place = work.parameter(1, (count,)), 0

    def take(*shape: int) -> Array:
        nonlocal place
        start, place = place, place + int(np.prod(shape))
        return np.ascontiguousarray(row[start:place].reshape(gates, hidden, *shape[1:])[order].reshape(shape))

    weights = []
    for width in widths:
        pairs = [(take(gates * hidden, width), take(gates * hidden, hidden)) for _ in range(directions)]
        weights.append((np.stack([one for one, _ in pairs]), np.stack([one for _, one in pairs])))
    biases = [
        np.stack([np.concatenate([take(gates * hidden), take(gates * hidden)]) for _ in range(directions)])
        for _ in widths
    ]
    return weights, biases


OPERATORS: Mapping[str, Translate] = {"RNN": _rnn}
