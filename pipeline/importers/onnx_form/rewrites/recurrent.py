"""LSTM, GRU and RNN over sequences of different lengths, by nodes that go through all time steps."""

from __future__ import annotations

import numpy as np
import onnx

from tvmopt.pipeline.importers.onnx_form.recurrent import RECURRENT_OPERATORS, activations_of
from tvmopt.pipeline.importers.onnx_form.rewrites.draft import Draft, Rule, attributes_of, input_of, output_of
from tvmopt.schedules.compute.recurrent import ACTIVATIONS

_CLOSED = 1e4
"""Added to the input of a sigmoid, it makes that 0 or 1, whatever else is added."""

_GATES = np.array([-_CLOSED, 0, _CLOSED, 0], np.float32)
"""What keeps an LSTM's cell as it is: nothing enters (i), everything is kept (f); in ONNX's order i, o, f, c."""


def recurrence(draft: Draft, node: onnx.NodeProto) -> bool:
    """A recurrence with lengths: each direction goes forward, over sequences that were reversed within their lengths.

    What follows a sequence's end changes no result before it. So the states behind the end become zero, and the last
    state is the one at the end. LSTM's last cell is not among the states; its gates are closed behind the end.
    """
    lengths, values = input_of(node, 4), attributes_of(node)
    steps = draft.shape(node.input[0])[0]
    if not lengths or (draft.is_constant(lengths) and (draft.constant(lengths) == steps).all()):
        return False
    kind, scaled = values.get("direction", "forward"), {"activation_alpha", "activation_beta"} & values.keys()
    if (output_of(node, 2) and not _can_close(node)) or (kind == "bidirectional" and scaled):
        return False
    backwards = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[kind]
    made = [_direction(draft, node, place, back) for place, back in enumerate(backwards)]
    for place, axis in enumerate((1, 0, 0)):
        if output_of(node, place):
            parts = [results[place] for results in made]
            draft.give(node.output[place], draft.add("Concat", *parts, axis=axis) if len(parts) > 1 else parts[0])
    return True


def _can_close(node: onnx.NodeProto) -> bool:
    """Whether the gates of an LSTM can be closed by what is added to their inputs."""
    gates = activations_of(node)[:: ACTIVATIONS["lstm"]]
    return all(name == "sigmoid" for name in gates) and not attributes_of(node).get("clip")


def _direction(draft: Draft, node: onnx.NodeProto, place: int, back: bool) -> tuple[str, str, str]:
    """The outputs of one direction: all states (T, 1, N, H), the last one (1, N, H), and LSTM's last cell."""
    steps, batch, _ = draft.shape(node.input[0])
    ends, values = draft.cast(node.input[4], np.int64), attributes_of(node)
    hidden = draft.shape(node.input[2])[2]
    data = _reversed(draft, node.input[0], ends) if back else node.input[0]
    one = draft.shape(node.input[2])[0] == 1
    names = [name if one or not name else draft.take(name, [place], 0) for name in node.input[1:]]
    step = draft.store(np.arange(steps).reshape(-1, 1, 1), np.int64)
    before = draft.add("Less", step, draft.reshape(ends, (1, batch, 1)))
    if output_of(node, 2):
        dtype = draft.dtype(node.input[0])
        data = draft.add("Concat", data, draft.cast(draft.add("Not", before), dtype), axis=2)
        column = np.repeat(_GATES, hidden).reshape(1, -1, 1)
        names[0] = draft.add("Concat", names[0], draft.store(column, dtype), axis=2)
    names[3] = ""
    each = ACTIVATIONS[node.op_type.lower()]
    if "activations" in values:
        values["activations"] = values["activations"][place * each :][:each]
    outputs = 3 if node.op_type == "LSTM" else 2
    made = draft.add_several(node.op_type, [data, *names], outputs, **{**values, "direction": "forward"})
    states = draft.reshape(made[0], (steps, batch, hidden))
    zero = draft.store(0, draft.dtype(node.input[0]))
    ended = draft.add("Where", before, states, zero)
    last = draft.add("Max", draft.add("Sub", ends, draft.store(1, np.int64)), draft.store(0, np.int64))
    places = draft.add("Expand", draft.reshape(last, (1, batch, 1)), draft.ints(1, batch, hidden))
    final = draft.add("GatherElements", ended, places, axis=0)
    if back:
        ended = _reversed(draft, ended, ends)
    return draft.reshape(ended, (steps, 1, batch, hidden)), final, made[-1]


def _reversed(draft: Draft, name: str, ends: str) -> str:
    """Sequences (T, N, ·), each reversed within its length."""
    return draft.add("ReverseSequence", name, ends, time_axis=0, batch_axis=1)


RULES: dict[str, Rule] = dict.fromkeys(sorted(RECURRENT_OPERATORS), recurrence)
