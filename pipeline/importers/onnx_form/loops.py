"""Loops and branches, written out: each round of a loop becomes layers of its own.

That needs the number of rounds. A Loop has it as its trip count, or its condition follows from constants in each round,
as it does where a counter is compared with a limit. A Scan has as many rounds as its inputs have elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.rewrites.draft import (
    Array,
    Draft,
    NotKnownError,
    Rule,
    attributes_of,
    input_of,
)
from tvmopt.pipeline.importers.onnx_form.rewrites.rewrite import apply_rules
from tvmopt.pipeline.support.onnxruntime import run_model

MOST_LAYERS = 10_000
"""The most layers that a loop may become; a model of more would take hours to compile."""

_RANDOM = frozenset({"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"})
_RANDOM |= {"RandomUniformLike"}

_MAY_FAIL = frozenset({"Div", "Gather", "GatherElements", "GatherND", "MaxUnpool", "Mod", "OneHot", "ReverseSequence"})
_MAY_FAIL |= {"RoiAlign", "Scatter", "ScatterElements", "ScatterND"}
"""Operators that fail for some values of their operands behind the first."""


def write_out_loops(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """`model` with the loops and branches written out whose course is known; None when there are none.

    Args:
        model: with the types of its values; is not changed.

    Raises:
        UnsupportedModelError: a loop would become too many layers.
    """
    return apply_rules(RULES, model)


def loop(draft: Draft, node: onnx.NodeProto) -> bool:
    """Loop, if it is known in each round whether there is another."""
    body = attributes_of(node)["body"]
    most = int(draft.constant(node.input[0]).reshape(-1)[0]) if input_of(node, 0) else None
    going = bool(draft.constant(node.input[1]).reshape(-1)[0]) if input_of(node, 1) else True
    state, written = list(node.input[2:]), _Rounds(draft, node, body)
    first = 1 + len(state)
    scans: list[list[str]] = [[] for _ in body.output[first:]]
    while going and (most is None or written.number < most):
        count = _shaped(written.number, np.int64, body.input[0])
        outputs = written.add([draft.store(count), draft.store(_shaped(True, np.bool_, body.input[1])), *state])
        going, state = _condition(draft, outputs[:first])
        for values, name in zip(scans, outputs[first:], strict=True):
            values.append(name)
    for output, name in zip(node.output, state, strict=False):
        draft.give(output, name)
    for output, values, form in zip(node.output[first - 1 :], scans, body.output[first:], strict=True):
        if values:
            _give_joined(draft, output, values, 0)
        elif output:
            sizes = [dim.dim_value for dim in form.type.tensor_type.shape.dim]
            draft.give(output, draft.store(np.zeros((0, *sizes)), draft.dtype(output)))
    return True


def scan(draft: Draft, node: onnx.NodeProto) -> bool:
    """Scan, since opset 9: the former one has a batch and lengths of sequences."""
    if draft.opset < 9:
        return False
    values = attributes_of(node)
    body, count = values["body"], int(values["num_scan_inputs"])
    states = len(node.input) - count
    state, sources = list(node.input[:states]), node.input[states:]
    made = len(body.output) - states
    axes = [
        axis % len(draft.shape(name))
        for axis, name in zip(values.get("scan_input_axes", [0] * count), sources, strict=True)
    ]
    backwards = values.get("scan_input_directions", [0] * count)
    sizes = {draft.shape(name)[axis] for name, axis in zip(sources, axes, strict=True)}
    if len(sizes) != 1:
        return False
    (rounds,) = sizes
    written = _Rounds(draft, node, body)
    scans: list[list[str]] = [[] for _ in range(made)]
    for number in range(rounds):
        parts = [
            draft.take(name, rounds - 1 - number if back else number, axis)
            for name, axis, back in zip(sources, axes, backwards, strict=True)
        ]
        outputs = written.add([*state, *parts])
        state = outputs[:states]
        for items, name in zip(scans, outputs[states:], strict=True):
            items.append(name)
    for output, name in zip(node.output, state, strict=False):
        draft.give(output, name)
    ends = zip(
        values.get("scan_output_axes", [0] * made), values.get("scan_output_directions", [0] * made), strict=True
    )
    for output, items, (axis, back) in zip(node.output[states:], scans, ends, strict=True):
        _give_joined(draft, output, items[::-1] if back else items, axis)
    return True


def branch(draft: Draft, node: onnx.NodeProto) -> bool:
    """If: one branch where the condition is constant; else both, and a choice between results of the same shape."""
    values = attributes_of(node)
    branches = [values[f"{which}_branch"] for which in ("then", "else")]
    if draft.is_constant(node.input[0]):
        chosen = branches[0 if draft.constant(node.input[0]).reshape(-1)[0] else 1]
        for output, name in zip(node.output, _Rounds(draft, node, chosen).add([]), strict=True):
            draft.give(output, name)
        return True
    if not all(_runs_always(draft, graph) for graph in branches):
        return False
    for output in node.output:
        draft.shape(output)  # known only where it is that of both branches
    condition = draft.reshape(node.input[0], ())
    results = [_Rounds(draft, node, graph, number).add([]) for number, graph in enumerate(branches)]
    for output, *made in zip(node.output, *results, strict=True):
        draft.give(output, draft.add("Where", condition, *made))
    return True


def _runs_always(draft: Draft, graph: onnx.GraphProto) -> bool:
    """Whether a branch can be computed where it was not chosen: no index is out of range, and no divisor zero."""
    known = {tensor.name for tensor in graph.initializer}
    known |= {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    operands = ((node, name) for node in graph.node for name in node.input[1:3] if name)
    computed = {id(node) for node, name in operands if name not in known and not draft.is_constant(name)}
    inner = [graph for node in graph.node for one in node.attribute for graph in (one.g, *one.graphs)]
    alone = all(node.op_type not in _MAY_FAIL or id(node) not in computed for node in graph.node)
    return alone and all(_runs_always(draft, one) for one in inner)


class _Rounds:
    """Writes a subgraph's nodes once for each round, whose numbers begin with `number`."""

    def __init__(self, draft: Draft, node: onnx.NodeProto, graph: onnx.GraphProto, number: int = 0) -> None:
        self.draft, self.node, self.graph, self.number = draft, node, graph, number
        self.constants = {tensor.name: draft.keep_constant(tensor) for tensor in graph.initializer}

    def add(self, inputs: Sequence[str]) -> list[str]:
        """Adds a round's nodes and returns the names of the graph's outputs.

        Raises:
            UnsupportedModelError: the rounds have become too many layers.
        """
        draft, layer = self.draft, self.node.name or self.node.output[0]
        if (self.number + 1) * len(self.graph.node) > MOST_LAYERS:
            raise UnsupportedModelError(
                f"layer {layer!r} ({self.node.op_type}): its rounds are more than {MOST_LAYERS} layers"
            )
        names = dict(self.constants)
        names.update(zip((value.name for value in self.graph.input), inputs, strict=True))
        for node in self.graph.node:
            copy = _renamed(node, names)
            for place, output in enumerate(node.output):
                if output:
                    names[output] = copy.output[place] = draft.name(f"{self.number}/{output}")
            copy.name = copy.output[0]
            draft.keep(copy)
        self.number += 1
        return [names.get(output.name, output.name) for output in self.graph.output]


def _renamed(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    """A copy of `node` that reads other names, in its subgraphs too."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [names.get(name, name) for name in node.input]
    for attribute in copy.attribute:
        for graph in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
            own = {value.name for value in (*graph.input, *graph.initializer)}
            own |= {name for inner in graph.node for name in inner.output}
            outside = {name: new for name, new in names.items() if name not in own}
            nodes = [_renamed(inner, outside) for inner in graph.node]
            del graph.node[:]
            graph.node.extend(nodes)
            for output in graph.output:
                output.name = outside.get(output.name, output.name)
    return copy


def _condition(draft: Draft, outputs: Sequence[str]) -> tuple[bool, list[str]]:
    """Whether there is another round, and the state that it begins with, of which what is known is constant.

    Raises:
        NotKnownError: the condition depends on data.
    """
    going, *state = outputs
    # The last round's nodes come last: a table of all of them in each round would take most of an import's time.
    for node in reversed(draft.nodes):
        if draft.is_constant(going) or (going in node.output and node.op_type != "Identity"):
            break
        if going in node.output:
            going = node.input[0]
    if draft.is_constant(going):
        return bool(draft.constant(going).reshape(-1)[0]), state
    nodes = {name: node for node in draft.nodes for name in node.output}
    needed = _needed(draft, nodes, [going])
    if needed is None:
        raise NotKnownError(going)
    wanted = {going: needed}
    for name in state:
        found = _needed(draft, nodes, [name]) if name in nodes else None
        if found is not None:
            wanted[name] = found
    values = _computed(draft, [node for part in wanted.values() for node in part], list(wanted))
    known = {name: draft.store(array) for name, array in values.items()}
    return bool(values[going].reshape(-1)[0]), [known.get(name, name) for name in state]


def _needed(draft: Draft, nodes: Mapping[str, onnx.NodeProto], names: Iterable[str]) -> list[onnx.NodeProto] | None:
    """The nodes that compute `names` from constants, without order; None if something else is needed."""
    found: dict[str, onnx.NodeProto] = {}
    todo = [name for name in names if name]
    while todo:
        name = todo.pop()
        if draft.is_constant(name) or name in found:
            continue
        node = nodes.get(name)
        if node is None or node.op_type in _RANDOM or any(attribute.HasField("g") for attribute in node.attribute):
            return None
        found.update((output, node) for output in node.output if output)
        todo.extend(input_name for input_name in node.input if input_name)
    return list(found.values())


def _computed(draft: Draft, nodes: Iterable[onnx.NodeProto], names: Sequence[str]) -> dict[str, Array]:
    """The values of `names`, which `nodes` compute from constants."""
    wanted = {id(node) for node in nodes}
    part = onnx.ModelProto(ir_version=10, opset_import=[onnx.helper.make_opsetid("", draft.opset)])
    part.graph.name = "condition"
    part.graph.node.extend(node for node in draft.nodes if id(node) in wanted)
    read = {name for node in part.graph.node for name in node.input}
    part.graph.initializer.extend(tensor for name, tensor in draft.initializers.items() if name in read)
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return run_model(part, {}, names)


def _shaped(value: int | bool, dtype: type, wanted: onnx.ValueInfoProto) -> Array:
    """`value` as the subgraph's input wants it: a scalar, or a tensor of one element."""
    return np.full((1,) * len(wanted.type.tensor_type.shape.dim), value, dtype)


def _give_joined(draft: Draft, output: str, items: Sequence[str], axis: int) -> None:
    """Makes the values of all rounds, along a new axis, the output of a loop.

    Raises:
        NotKnownError: there was no round.
    """
    if not output:
        return
    if not items:
        raise NotKnownError(output)
    draft.give(
        output, draft.add("Concat", *(draft.add("Unsqueeze", item, draft.ints(axis)) for item in items), axis=axis)
    )


RULES: dict[str, Rule] = {"Loop": loop, "Scan": scan, "If": branch}
