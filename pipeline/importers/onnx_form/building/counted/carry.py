"""Which operators take a tensor whose size is found at run time, and along which axis their results are shorter.

An operator computes its whole room. That is right where what is behind the value never reaches what is in front: where
each element, row or slice of the result follows from those at the same place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import onnx

from tvmopt.pipeline.importers.onnx_form.building.counted.types import Counted
from tvmopt.pipeline.importers.onnx_form.rewrites.draft import (
    Draft,
    NotKnownError,
    attributes_of,
    input_of,
)


class Taken(NamedTuple):
    """A node that takes counted values.

    Attributes:
        draft: what to add to.
        node: the node as the model has it.
        counted: the counted values among its inputs, by name.
    """

    draft: Draft
    node: onnx.NodeProto
    counted: Mapping[str, Counted]

    def at(self, place: int) -> Counted | None:
        """The input at `place`, if it is counted."""
        return self.counted.get(input_of(self.node, place))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an input, or of its room."""
        return self.counted[name].shape if name in self.counted else self.draft.shape(name)

    def only(self) -> Counted:
        """The first input.

        Raises:
            NotKnownError: it is not the only one that is counted.
        """
        first = self.at(0)
        if first is None or any(name in self.counted for name in self.node.input[1:]):
            raise NotKnownError(self.node.op_type)
        return first

    def axes(self, rank: int, place: int = 1) -> tuple[int, ...]:
        """Axes that an input or an attribute lists, or all."""
        given, name = attributes_of(self.node).get("axes"), input_of(self.node, place)
        if name:
            given = self.draft.constant(name).tolist()
        return tuple(axis % rank for axis in given) if given else tuple(range(rank))


Carry = Callable[[Taken], int]
"""The axis along which the results are shorter, which are otherwise what the operator makes of the rooms.

Raises:
    NotKnownError: the operator does not take such values, or not so.
"""


def carry(draft: Draft, node: onnx.NodeProto, counted: Mapping[str, Counted]) -> dict[str, Counted]:
    """Adds `node`, which takes counted values, to the draft.

    Args:
        draft: what to add to.
        node: the node.
        counted: the counted values by name.

    Returns:
        Its counted outputs by name.

    Raises:
        NotKnownError: it does not take such values.
    """
    taken = Taken(draft, node, {name: counted[name] for name in node.input if name in counted})
    if node.op_type == "Shape":
        _shape(taken)
        return {}
    if node.op_type == "Slice" and taken.only().axis in _sliced(taken):
        return _slice_along(taken)
    if node.op_type not in _CARRIES:
        raise NotKnownError(node.op_type)
    axis = _CARRIES[node.op_type](taken)
    (count,) = {value.count for value in taken.counted.values()}
    if node.op_type in ("Gather", "GatherND") and taken.at(1) is not None:
        indices = input_of(node, 1)
        taken = taken._replace(counted={**taken.counted, indices: _zero_behind(taken, indices)})
    return _add(taken, axis, count)


def _add(taken: Taken, axis: int, count: str) -> dict[str, Counted]:
    """Adds the node with the rooms in place of the counted values."""
    made = onnx.NodeProto()
    made.CopyFrom(taken.node)
    names = {name: value.room for name, value in taken.counted.items()}
    outputs = {output: taken.draft.name(f"{output}/room") for output in taken.node.output if output}
    made.input[:] = [names.get(name, name) for name in taken.node.input]
    made.output[:] = [outputs.get(name, "") for name in taken.node.output]
    if made.op_type == "Reshape":
        made.input[1] = taken.draft.ints(*_reshaped(taken)[0])
    shapes = _infer(taken, made)
    taken.draft.keep(made)
    return {output: Counted(room, shapes[room], axis, count) for output, room in outputs.items()}


def _infer(taken: Taken, made: onnx.NodeProto) -> dict[str, tuple[int, ...]]:
    """The shapes of the outputs of a node that has rooms for inputs."""
    draft = taken.draft
    shapes = {value.room: value.shape for value in taken.counted.values()}
    types, constants = {}, {}
    for name in filter(None, made.input):
        shape = shapes[name] if name in shapes else draft.shape(name)
        element = onnx.helper.np_dtype_to_tensor_dtype(draft.dtype(_origin(taken, name)))
        types[name] = onnx.helper.make_tensor_type_proto(element, shape)
        if draft.is_constant(name):
            constants[name] = draft.initializers[name]
    schema = onnx.defs.get_schema(made.op_type, max_inclusive_version=draft.opset, domain="")
    opsets = [onnx.helper.make_opsetid("", draft.opset)]
    try:
        found = onnx.shape_inference.infer_node_outputs(schema, made, types, constants, opset_imports=opsets)
    except onnx.shape_inference.InferenceError as error:
        raise NotKnownError(str(error)) from error
    result = {}
    for name in filter(None, made.output):
        dims = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in found[name].tensor_type.shape.dim]
        if min(dims, default=0) < 0:
            raise NotKnownError(name)
        result[name] = tuple(dims)
    return result


def _origin(taken: Taken, name: str) -> str:
    """The value of the model whose room is called `name`, which has the same dtype."""
    return next((value for value, counted in taken.counted.items() if counted.room == name), name)


def _shape(taken: Taken) -> None:
    """The shape itself is a tensor of known size."""
    draft, value, values = taken.draft, taken.only(), attributes_of(taken.node)
    parts = [draft.ints(size) for size in value.shape]
    parts[value.axis] = value.count
    chosen = parts[slice(values.get("start", 0), values.get("end"))]
    draft.give(taken.node.output[0], draft.add("Concat", *chosen, axis=0))


def _sliced(taken: Taken) -> dict[int, int]:
    """The axes that a Slice cuts, and at which place of its lists they are."""
    draft, node = taken.draft, taken.node
    rank, axes = len(taken.only().shape), input_of(node, 3)
    listed = draft.constant(axes).tolist() if axes else range(len(draft.constant(node.input[1])))
    return {axis % rank: place for place, axis in enumerate(listed)}


def _slice_along(taken: Taken) -> dict[str, Counted]:
    """The first so many elements: fewer, if there are not so many."""
    draft, node, value = taken.draft, taken.node, taken.only()
    place = _sliced(taken)[value.axis]
    steps = draft.constant(node.input[4])[place] if input_of(node, 4) else 1
    first, end = (int(draft.constant(node.input[i])[place]) for i in (1, 2))
    if first or end < 1 or steps != 1:
        raise NotKnownError("Slice")
    count = draft.add("Min", value.count, draft.ints(min(end, value.shape[value.axis])))
    return _add(taken, value.axis, count)


def _elementwise(taken: Taken) -> int:
    """Operands that are counted have the same count; others are repeated along the axis."""
    rank = max(len(taken.shape(name)) for name in taken.node.input if name)
    places = {rank - len(value.shape) + value.axis for value in taken.counted.values()}
    if len(places) != 1 or len({value.count for value in taken.counted.values()}) != 1:
        raise NotKnownError(taken.node.op_type)
    (place,) = places
    for name in filter(None, taken.node.input):
        axis = place - rank + len(taken.shape(name))
        if name not in taken.counted and axis >= 0 and taken.shape(name)[axis] != 1:
            raise NotKnownError(name)
    divides = taken.node.op_type in ("Div", "Mod") and taken.draft.dtype(taken.node.input[0]).kind in "iu"
    if divides and taken.at(1) is not None:
        raise NotKnownError("what is behind the value may be zero")
    return place


def _stays(taken: Taken) -> int:
    return taken.only().axis


def _gather(taken: Taken) -> int:
    """By counted indices, or from counted data along another axis."""
    data, indices = taken.at(0), taken.at(1)
    rank = len(taken.shape(taken.node.input[0]))
    axis = int(attributes_of(taken.node).get("axis", 0)) % rank
    if data is None and indices is not None:
        return axis + indices.axis
    if data is None or indices is not None or axis == data.axis:
        raise NotKnownError("Gather")
    return data.axis if data.axis < axis else data.axis - 1 + len(taken.shape(taken.node.input[1]))


def _gather_nd(taken: Taken) -> int:
    """By counted tuples of indices."""
    indices = taken.at(1)
    if taken.at(0) is not None or indices is None or attributes_of(taken.node).get("batch_dims", 0):
        raise NotKnownError("GatherND")
    if indices.axis == len(indices.shape) - 1:
        raise NotKnownError("GatherND")
    return indices.axis


def _zero_behind(taken: Taken, name: str) -> Counted:
    """The counted indices `name` with zeros behind them: anything may stand there, and a whole room is checked."""
    draft, value = taken.draft, taken.counted[name]
    shape = [1] * len(value.shape)
    shape[value.axis] = -1
    used = draft.add("Less", draft.store(np.arange(value.shape[value.axis]).reshape(shape)), value.count)
    return replace(value, room=draft.add("Where", used, value.room, draft.store(0, draft.dtype(name))))


def _transpose(taken: Taken) -> int:
    value = taken.only()
    rank = len(value.shape)
    order = list(attributes_of(taken.node).get("perm", range(rank)[::-1]))
    return order.index(value.axis)


def _concat(taken: Taken) -> int:
    """Along another axis, of tensors that all have the same count."""
    first = taken.at(0)
    axis = int(attributes_of(taken.node)["axis"])
    for place in range(len(taken.node.input)):
        value = taken.at(place)
        if first is None or value is None or (value.axis, value.count) != (first.axis, first.count):
            raise NotKnownError("Concat")
    assert first is not None
    if axis % len(first.shape) == first.axis:
        raise NotKnownError("Concat")
    return first.axis


def _unsqueeze(taken: Taken) -> int:
    value, name = taken.only(), taken.node.input[1]
    given = taken.draft.constant(name).tolist()
    rank = len(value.shape) + len(given)
    added = {axis % rank for axis in given}
    return [axis for axis in range(rank) if axis not in added][value.axis]


def _squeeze(taken: Taken) -> int:
    value = taken.only()
    rank = len(value.shape)
    gone = set(taken.axes(rank))
    # Without axes, a count of one would take the axis away.
    if value.axis in gone or not input_of(taken.node, 1):
        raise NotKnownError("Squeeze")
    return value.axis - sum(axis < value.axis for axis in gone)


def _reshaped(taken: Taken) -> tuple[list[int], int]:
    """The new shape of a room, and the axis that stays: with as much before and behind it as before."""
    value = taken.only()
    if attributes_of(taken.node).get("allowzero", 0):
        raise NotKnownError("Reshape")
    asked = taken.draft.constant(taken.node.input[1]).tolist()
    shape = [value.shape[axis] if size == 0 else size for axis, size in enumerate(asked)]
    kept = [asked.index(-1)] if -1 in asked else [value.axis] if asked[value.axis : value.axis + 1] == [0] else []
    sides = math.prod(value.shape[: value.axis]), math.prod(value.shape[value.axis + 1 :])
    for axis in kept:
        if (math.prod(shape[:axis]), math.prod(shape[axis + 1 :])) == sides:
            shape[axis] = value.shape[value.axis]
            return shape, axis
    raise NotKnownError("Reshape")


def _reduced(taken: Taken) -> int:
    """Over other axes."""
    value, values = taken.only(), attributes_of(taken.node)
    arg = taken.node.op_type.startswith("Arg")
    rank = len(value.shape)
    axes = (int(values.get("axis", 0)) % rank,) if arg else taken.axes(rank)
    if value.axis in axes:
        raise NotKnownError(taken.node.op_type)
    return value.axis if values.get("keepdims", 1) else value.axis - sum(axis < value.axis for axis in axes)


def _along(default: int) -> Carry:
    """Operators along one axis, or from one axis on."""

    def along(taken: Taken) -> int:
        value = taken.only()
        axis = int(attributes_of(taken.node).get("axis", default)) % len(value.shape)
        from_ = taken.node.op_type == "LayerNormalization"
        if axis == value.axis or (from_ and axis < value.axis):
            raise NotKnownError(taken.node.op_type)
        return value.axis

    return along


def _product(taken: Taken) -> int:
    """The rows of the left side."""
    value = taken.only()
    turned = attributes_of(taken.node).get("transA", 0)
    if turned or value.axis > len(value.shape) - 2 or len(taken.shape(taken.node.input[1])) != 2:
        raise NotKnownError(taken.node.op_type)
    if taken.node.op_type == "Gemm" and input_of(taken.node, 2):
        added = taken.shape(taken.node.input[2])
        if len(added) == 2 and added[0] != 1:
            raise NotKnownError("Gemm")
    return value.axis


_UNARY = (
    *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "Ceil", "Celu", "Cos", "Cosh"),
    *("Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu"),
    *("Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh"),
    *("Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu"),
)
_ELEMENTWISE = (
    *("Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Clip", "Div", "Equal", "Greater"),
    *("GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow", "Sub", "Sum"),
    *("Where", "Xor"),
)
_REDUCING = (*("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"),)
_CARRIES: Mapping[str, Carry] = {
    **dict.fromkeys(_UNARY, _stays),
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys((f"Reduce{kind}" for kind in _REDUCING), _reduced),
    **dict.fromkeys(("ArgMax", "ArgMin"), _reduced),
    **dict.fromkeys(("Softmax", "LogSoftmax", "LayerNormalization", "TopK"), _along(-1)),
    "Split": _along(0),
    **dict.fromkeys(("Gemm", "MatMul"), _product),
    "Concat": _concat,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "Reshape": lambda taken: _reshaped(taken)[1],
    "Slice": _stays,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
