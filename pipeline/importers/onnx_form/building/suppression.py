"""Gives non-maximum suppression a result of static size, where all that is read of it marks the boxes that stay.

How many boxes NonMaxSuppression selects depends on data. But where ScatterND writes one number to all of their places
in an array of the size of the scores, neither their number nor their order matters. These nodes become one that marks
the boxes, a function of our own domain that ONNX's operators define, and a choice between the number and the array.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tvmopt.pipeline.importers.onnx_form.layer_names import unique
from tvmopt.pipeline.importers.onnx_form.operators import standard_opset
from tvmopt.pipeline.importers.onnx_form.rewrites.draft import attributes_of, input_of
from tvmopt.pipeline.support.weights.parked import array_of

DOMAIN = "tvmopt"
"""The domain of our own functions."""

SELECTED_BOXES = "SelectedBoxes"
"""The function: inputs and attribute of NonMaxSuppression, all given; result like the scores, 1 where a box stays."""

_SELECTION, _SIZES, _NUMBER, _COUNT, _UPDATES = "selection", "sizes", "number", "count", "updates"
"""What a value is: the selected boxes; their shape; how many they are, as a scalar or in one dimension; one number for
each of them."""


@dataclass(slots=True)
class _Use:
    """What a graph makes of one selection.

    Attributes:
        parts: what each value is that follows from it, by name.
        numbers: the number that each array of updates repeats.
        nodes: where the nodes between the selection and the arrays are in the graph.
        marked: where the nodes are that write to the arrays.
    """

    parts: dict[str, str]
    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    nodes: list[int] = field(default_factory=list)
    marked: list[int] = field(default_factory=list)


def mark_selected_boxes(model: onnx.ModelProto) -> None:
    """Writes `SELECTED_BOXES` for every NonMaxSuppression of `model` whose boxes are only marked, in place.

    Args:
        model: constants are initialisers, values have their types, and there are no subgraphs.
    """
    graph = model.graph
    if not any(node.op_type == "NonMaxSuppression" for node in graph.node):
        return
    known = _Known(graph)
    taken = {name for node in graph.node for name in (*node.input, *node.output)} | known.constants.keys()
    replaced: dict[int, list[onnx.NodeProto]] = {}
    for index, node in enumerate(graph.node):
        use = _use_of(graph, index, known) if node.op_type == "NonMaxSuppression" else None
        if use is None:
            continue
        inputs = [*node.input[:2], *(_limit(graph, node, place, taken) for place in (2, 3, 4))]
        marks = unique(f"{node.output[0]}/marks", taken)
        center = attributes_of(node).get("center_point_box", 0)
        call = helper.make_node(
            SELECTED_BOXES, inputs, [marks], name=node.name, domain=DOMAIN, center_point_box=int(center)
        )
        replaced |= {index: [call], **{place: [] for place in use.nodes}}
        zero = _store(graph, np.float32(0), f"{marks}/zero", taken)
        for place in use.marked:
            written = graph.node[place]
            stays = unique(f"{marks}/stays", taken)
            number = _store(graph, use.numbers[written.input[2]], f"{marks}/number", taken)
            replaced[place] = [
                helper.make_node("Greater", [marks, zero], [stays]),
                helper.make_node("Where", [stays, number, written.input[0]], written.output, name=written.name),
            ]
    if replaced:
        nodes = [made for index, node in enumerate(graph.node) for made in replaced.get(index, [node])]
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(nodes)
        model.functions.append(_selected_boxes(standard_opset(model)))
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))


class _Known:
    """Constants, shapes and outputs of a graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.outputs = {output.name for output in graph.output}
        self.shapes: dict[str, tuple[int, ...]] = {name: tuple(t.dims) for name, t in self.constants.items()}
        for value in (*graph.input, *graph.value_info, *graph.output):
            if value.type.tensor_type.HasField("shape"):
                self.shapes[value.name] = tuple(
                    dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.type.tensor_type.shape.dim
                )

    def ints(self, name: str) -> list[int] | None:
        """A constant of one element, as a list."""
        number = self.number(name)
        return None if number is None else [number.item()]

    def number(self, name: str) -> np.ndarray | None:
        """A constant of one element, as a scalar; None for anything else."""
        tensor = self.constants.get(name)
        return None if tensor is None or np.prod(tensor.dims) != 1 else array_of(tensor).reshape(())


def _use_of(graph: onnx.GraphProto, first: int, known: _Known) -> _Use | None:
    """What `graph` makes of the selection of the node at `first`; None if more than marks, or if sizes are unknown."""
    selecting = graph.node[first]
    scores = known.shapes.get(selecting.input[1], (-1,))
    overlap = known.number(input_of(selecting, 3))
    fixed = all(not name or known.number(name) is not None for name in selecting.input[2:])
    if not fixed or min(scores) < 1 or (overlap is not None and not 0 <= overlap <= 1):
        return None
    use = _Use({selecting.output[0]: _SELECTION})
    for index in range(first + 1, len(graph.node)):
        node = graph.node[index]
        if use.parts.keys().isdisjoint(node.input):
            continue
        if _marks(node, use, known, scores):
            use.marked.append(index)
            continue
        part = _part(node, use, known)
        if part is None:
            return None
        use.parts[node.output[0]] = part
        use.nodes.append(index)
    return use if use.marked and known.outputs.isdisjoint(use.parts) else None


def _marks(node: onnx.NodeProto, use: _Use, known: _Known, scores: tuple[int, ...]) -> bool:
    """Whether `node` writes one number to the places of all selected boxes, in an array as large as the scores."""
    return (
        node.op_type == "ScatterND"
        and node.input[0] not in use.parts
        and [use.parts.get(name) for name in node.input[1:]] == [_SELECTION, _UPDATES]
        and attributes_of(node).get("reduction", "none") == "none"
        and known.shapes.get(node.input[0]) == scores
    )


def _part(node: onnx.NodeProto, use: _Use, known: _Known) -> str | None:
    """What the result of `node` is, which reads a value that follows from the selection; None if it is nothing known.

    Its first input is that value; only Expand has it second.
    """
    kind, values = node.op_type, attributes_of(node)
    found = [use.parts.get(name) for name in node.input]
    rest = [known.ints(name) for name in node.input[1:]]
    if kind == "Expand" and found == [None, _COUNT]:
        number, shape = known.number(node.input[0]), known.shapes.get(node.input[0], ())
        if number is not None and len(shape) <= 1:
            use.numbers[node.output[0]] = number
            return _UPDATES
        return None
    if any(part is not None for part in found[1:]):
        return None
    source = found[0]
    if kind == "ConstantOfShape" and source == _COUNT:
        given = values.get("value")
        filled = np.zeros(1, np.float32) if given is None else array_of(given)
        use.numbers[node.output[0]] = filled.reshape(())
        return _UPDATES
    if kind == "Shape" and source == _SELECTION:
        start, end = values.get("start", 0), values.get("end", 2)
        return {(0, 1): _COUNT, (0, 2): _SIZES}.get((start, end))
    if kind == "Slice" and source == _SIZES and rest in _FIRST_OF_SIZES:
        return _COUNT
    if kind == "Gather" and source == _SIZES and rest == [[0]] and values.get("axis", 0) == 0:
        return _COUNT if known.shapes[node.input[1]] else _NUMBER
    if (kind == "Unsqueeze" and source == _NUMBER) or (kind == "Reshape" and source in (_NUMBER, _COUNT)):
        one = known.shapes.get(node.output[0]) == (1,)
        return _COUNT if one else None
    return None


_FIRST_OF_SIZES = ([[0], [1]], [[0], [1], [0]], [[0], [1], [0], [1]])
"""Starts, ends, axes and steps of a Slice that takes the first size."""


def _limit(graph: onnx.GraphProto, node: onnx.NodeProto, place: int, taken: set[str]) -> str:
    """The name of a limit of NonMaxSuppression; one that is absent is written out, except the least score."""
    name = input_of(node, place)
    if name or place == 4:
        return name
    return _store(graph, np.array([0], np.int64 if place == 2 else np.float32), f"{node.output[0]}/limit", taken)


def _store(graph: onnx.GraphProto, value: Any, name: str, taken: set[str]) -> str:
    """Adds a constant and returns its name."""
    free = unique(name, taken)
    graph.initializer.append(numpy_helper.from_array(np.asarray(value), free))
    return free


def _selected_boxes(opset: int) -> onnx.FunctionProto:
    """The function, defined by ONNX's operators."""
    suppression = helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "overlap", "limit"], ["selection"])
    suppression.attribute.add(name="center_point_box", ref_attr_name="center_point_box", type=onnx.AttributeProto.INT)
    nodes = [
        suppression,
        helper.make_node("Shape", ["selection"], ["sizes"]),
        helper.make_node("Constant", [], ["first"], value_ints=[0]),
        helper.make_node("Gather", ["sizes", "first"], ["count"]),
        helper.make_node("Constant", [], ["one"], value_float=1.0),
        helper.make_node("Expand", ["one", "count"], ["ones"]),
        # All zeros, of the size of the scores: nothing is less than itself.
        helper.make_node("Less", ["scores", "scores"], ["none"]),
        helper.make_node("Cast", ["none"], ["empty"], to=onnx.TensorProto.FLOAT),
        helper.make_node("ScatterND", ["empty", "selection", "ones"], ["marks"]),
    ]
    inputs = ["boxes", "scores", "most", "overlap", "limit"]
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_function(
        DOMAIN, SELECTED_BOXES, inputs, ["marks"], nodes, opsets, attributes=["center_point_box"]
    )
