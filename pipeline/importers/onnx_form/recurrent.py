"""LSTM, GRU and RNN nodes: which are supported, judging by their attributes, and the layout that all are given."""

from __future__ import annotations

import onnx

from tvmopt.schedules.compute.recurrent import ACTIVATIONS, FUNCTIONS

RECURRENT_OPERATORS = frozenset({"LSTM", "GRU", "RNN"})

_DEFAULTS = {"lstm": ("sigmoid", "tanh", "tanh"), "gru": ("sigmoid", "tanh"), "rnn": ("tanh",)}


def activations_of(node: onnx.NodeProto) -> tuple[str, ...]:
    """The activation functions of a recurrent node in lower case: those of one direction, then of the other."""
    named = next((a.strings for a in node.attribute if a.name == "activations"), ())
    return tuple(name.decode().lower() for name in named) or _DEFAULTS[node.op_type.lower()]


def why_not_recurrent(node: onnx.NodeProto) -> str | None:
    """The unsupported feature of a recurrent node, as errors list it; None when it is supported."""
    names = activations_of(node)
    unknown = sorted(set(names) - set(FUNCTIONS))
    if unknown:
        return f"{node.op_type} with activation {' and '.join(unknown)}"
    first = names[: ACTIVATIONS[node.op_type.lower()]]
    if names not in (first, first * 2):
        return f"{node.op_type} whose directions have different activations"
    return None


def put_time_first(graph: onnx.GraphProto) -> None:
    """Converts recurrent nodes whose tensors have the batch first (``layout`` 1) to ONNX's usual layout, in place.

    Transposes before and behind them keep the result. onnxruntime, which checks models, has only the usual layout.
    """
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        layout = next((a for a in node.attribute if a.name == "layout" and a.i), None)
        if node.op_type not in RECURRENT_OPERATORS or layout is None:
            nodes.append(node)
            continue
        node.attribute.remove(layout)
        for place in (0, 5, 6):  # the sequence and the first states, all (N, ·, ·)
            if len(node.input) > place and node.input[place]:
                turned = f"{node.input[place]}_{node.output[0]}_time_first"
                nodes.append(onnx.helper.make_node("Transpose", [node.input[place]], [turned], perm=(1, 0, 2)))
                node.input[place] = turned
        nodes.append(node)
        for place, name in enumerate(node.output):
            if name:
                node.output[place] = f"{name}_time_first"
                axes = (2, 0, 1, 3) if place == 0 else (1, 0, 2)
                nodes.append(onnx.helper.make_node("Transpose", [node.output[place]], [name], perm=axes))
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
