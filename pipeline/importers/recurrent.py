"""Which LSTM, GRU and RNN nodes are taken, as far as their attributes tell."""

from __future__ import annotations

import onnx

from schedules.compute.recurrent import ACTIVATIONS, FUNCTIONS

RECURRENT_OPERATORS = frozenset({"LSTM", "GRU", "RNN"})

_DEFAULTS = {"lstm": ("sigmoid", "tanh", "tanh"), "gru": ("sigmoid", "tanh"), "rnn": ("tanh",)}


def activations_of(node: onnx.NodeProto) -> tuple[str, ...]:
    """The activation functions of a recurrent node in lower case: those of one direction, then of the other."""
    named = next((a.strings for a in node.attribute if a.name == "activations"), ())
    return tuple(name.decode().lower() for name in named) or _DEFAULTS[node.op_type.lower()]


def why_not_recurrent(node: onnx.NodeProto) -> str | None:
    """What a recurrent node has that is not taken, as errors list it; None when it is taken."""
    names = activations_of(node)
    unknown = sorted(set(names) - set(FUNCTIONS))
    if unknown:
        return f"{node.op_type} with activation {' and '.join(unknown)}"
    first = names[: ACTIVATIONS[node.op_type.lower()]]
    if names not in (first, first * 2):
        return f"{node.op_type} whose directions have different activations"
    return None
