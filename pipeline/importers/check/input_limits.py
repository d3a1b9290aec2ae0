"""The values that a model's inputs may have, read from its layers: indices within a table, divisors that are not 0."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from tvmopt.pipeline.support.weights.parked import array_of

Limits = tuple[float, float]
"""The least value, and what all values are below."""

_CARRYING = ("Cast", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Tile", "Transpose")
_CARRYING_FIRST = (*_CARRYING, "Gather", "GatherElements", "GatherND", "Pad", "Unsqueeze")
"""Operators whose results hold only values of their first operand (`Pad` also zeros)."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a graph's values: shapes by name, and the constants."""

    shapes: Mapping[str, tuple[int, ...]]
    constants: Mapping[str, onnx.TensorProto]

    def size(self, name: str, axis: int) -> float:
        """The size of `name` along `axis`; infinite where that is not known."""
        shape = self.shapes.get(name, ())
        return shape[axis] if -len(shape) <= axis < len(shape) and shape[axis] > 0 else math.inf

    def constant(self, name: str) -> np.ndarray | None:
        """The value of a constant of few elements."""
        tensor = self.constants.get(name)
        return None if tensor is None or math.prod(tensor.dims) not in range(1, 65) else array_of(tensor)


_BITS = 8
"""Shifting an integer of this many bits by as many is undefined."""


def input_limits(graph: onnx.GraphProto) -> dict[str, Limits]:
    """The limits of every value that a layer takes only within some, as far as they follow from the graph.

    A limit is followed back through layers that pass values on, and through sums and differences with a constant.
    Values that have none are left out.

    Args:
        graph: with the shapes that are known; best a normalised model's.
    """
    known = _known(graph)
    found: dict[str, Limits] = {}

    def narrow(name: str, limits: Limits) -> None:
        low, high = found.get(name, (-math.inf, math.inf))
        found[name] = (max(low, limits[0]), min(high, limits[1]))

    for node in reversed(graph.node):
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        rule = _RULES.get(node.op_type)
        if rule is not None:
            for place, limits in rule(node, attributes, known):
                if place < len(node.input) and node.input[place] and limits[0] < limits[1]:
                    narrow(node.input[place], limits)
        for name, limits in _carried(node, found, known):
            narrow(name, limits)
    return found


def _known(graph: onnx.GraphProto) -> _Known:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    shapes = {name: tuple(tensor.dims) for name, tensor in constants.items()}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    return _Known(shapes, constants)


def _carried(node: onnx.NodeProto, found: Mapping[str, Limits], known: _Known) -> Iterator[tuple[str, Limits]]:
    """The limits of a node's operands that follow from those of its results."""
    limits = next((found[name] for name in node.output if name in found), None)
    if limits is None:
        return
    if node.op_type in _CARRYING_FIRST:
        yield node.input[0], limits
    elif node.op_type in ("Concat", "Max", "Min"):
        yield from ((name, limits) for name in node.input)
    elif node.op_type == "Where":
        yield from ((name, limits) for name in node.input[1:])
    elif node.op_type in ("Add", "Sub"):
        left, right = node.input
        added, taken = known.constant(left), known.constant(right)
        low, high = limits
        if taken is not None:
            least, most = (taken.min(), taken.max()) if node.op_type == "Add" else (-taken.max(), -taken.min())
            yield left, (float(low - least), float(high - most))
        elif added is not None and node.op_type == "Add":
            yield right, (float(low - added.min()), float(high - added.max()))


Rule = Callable[[onnx.NodeProto, Mapping[str, Any], _Known], Iterator[tuple[int, Limits]]]


def _index(place: int, data: int = 0) -> Rule:
    """Operand `place` indexes the axis of operand `data` that the attribute `axis` names."""

    def rule(node: onnx.NodeProto, attributes: Mapping[str, Any], known: _Known) -> Iterator[tuple[int, Limits]]:
        yield place, (0, known.size(node.input[data], attributes.get("axis", 0)))

    return rule


def _index_tuple(node: onnx.NodeProto, attributes: Mapping[str, Any], known: _Known) -> Iterator[tuple[int, Limits]]:
    """Operand 1 holds indices of several axes at once: the smallest axis limits them all."""
    first = attributes.get("batch_dims", 0)
    depth = known.size(node.input[1], -1)
    shape = known.shapes.get(node.input[0], ())
    axes = shape[first : first + int(depth)] if depth < math.inf else shape[first:]
    yield 1, (0, min((size for size in axes if size > 0), default=math.inf))


def _one_hot(node: onnx.NodeProto, attributes: Mapping[str, Any], known: _Known) -> Iterator[tuple[int, Limits]]:
    depth = known.constant(node.input[1])
    yield 0, (0, math.inf if depth is None else float(depth.item()))


def _lengths(place: int) -> Rule:
    """Operand `place` holds lengths of sequences, which are operand 0, by default along its first axis."""

    def rule(node: onnx.NodeProto, attributes: Mapping[str, Any], known: _Known) -> Iterator[tuple[int, Limits]]:
        yield place, (1, known.size(node.input[0], attributes.get("time_axis", 0)) + 1)

    return rule


def _divisor(node: onnx.NodeProto, attributes: Mapping[str, Any], known: _Known) -> Iterator[tuple[int, Limits]]:
    yield 1, (1, math.inf)  # floats as well: integers are often cast before they divide


def _shift(node: onnx.NodeProto, attributes: Mapping[str, Any], known: _Known) -> Iterator[tuple[int, Limits]]:
    yield 1, (0, _BITS)


def _ratio(node: onnx.NodeProto, attributes: Mapping[str, Any], known: _Known) -> Iterator[tuple[int, Limits]]:
    yield 1, (0, 1)


def _axis(node: onnx.NodeProto, attributes: Mapping[str, Any], known: _Known) -> Iterator[tuple[int, Limits]]:
    yield 1, (0, max(1, len(known.shapes.get(node.input[0], ()))))


def _top(node: onnx.NodeProto, attributes: Mapping[str, Any], known: _Known) -> Iterator[tuple[int, Limits]]:
    yield 1, (1, known.size(node.input[0], attributes.get("axis", -1)) + 1)


def _class(node: onnx.NodeProto, attributes: Mapping[str, Any], known: _Known) -> Iterator[tuple[int, Limits]]:
    yield 1, (0, known.size(node.input[0], 1))


def _positions(node: onnx.NodeProto, attributes: Mapping[str, Any], known: _Known) -> Iterator[tuple[int, Limits]]:
    if len(node.input) > 3:
        yield 3, (0, known.size(node.input[1], 0))


def _keys(node: onnx.NodeProto, attributes: Mapping[str, Any], known: _Known) -> Iterator[tuple[int, Limits]]:
    yield 6, (1, known.size(node.input[1], -2) + 1)


_RULES: Mapping[str, Rule] = {
    "Attention": _keys,
    "BitShift": _shift,
    "CumProd": _axis,
    "CumSum": _axis,
    "Div": _divisor,
    "Dropout": _ratio,
    "GRU": _lengths(4),
    "Gather": _index(1),
    "GatherElements": _index(1),
    "GatherND": _index_tuple,
    "LSTM": _lengths(4),
    "Mod": _divisor,
    "NegativeLogLikelihoodLoss": _class,
    "OneHot": _one_hot,
    "RNN": _lengths(4),
    "ReverseSequence": _lengths(1),
    "RotaryEmbedding": _positions,
    "Scatter": _index(1),
    "ScatterElements": _index(1),
    "ScatterND": _index_tuple,
    "SoftmaxCrossEntropyLoss": _class,
    "TopK": _top,
}
"""For each operator with operands that are valid only within limits: those operands and their limits."""
