"""LSTM, GRU and RNN nodes: which are supported, judging by their attributes, and the layout that all are given."""

from __future__ import annotations

import onnx

from tvmopt.schedules.compute.recurrent import ACTIVATIONS, FUNCTIONS, is_known

RECURRENT_OPERATORS = frozenset({"LSTM", "GRU", "RNN"})

_DEFAULTS = {"lstm": ("sigmoid", "tanh", "tanh"), "gru": ("sigmoid", "tanh"), "rnn": ("tanh",)}


def activations_of(node: onnx.NodeProto) -> tuple[str, ...]:
    """The activation functions of a recurrent node as workloads name them: those of one direction, then of the other.

    The node lists constants only for functions that have some; each takes the next one, or else its default.
    """
    values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    names = [name.decode().lower() for name in values.get("activations", ())] or _DEFAULTS[node.op_type.lower()]
    given = [iter(values.get(name, ())) for name in ("activation_alpha", "activation_beta")]
    chosen = []
    for name in names:
        constants = [next(each, default) for each, default in zip(given, FUNCTIONS.get(name, ()), strict=False)]
        chosen.append(":".join((name, *(f"{constant:.9g}" for constant in constants if constant is not None))))
    return tuple(chosen)


def why_not_recurrent(node: onnx.NodeProto) -> str | None:
    """The unsupported feature of a recurrent node, as errors list it; None when it is supported."""
    names = activations_of(node)
    unknown = sorted({name.partition(":")[0] for name in names if not is_known(name)})
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
