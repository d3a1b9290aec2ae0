"""The graph that rules write to: what is known of its values, and a short way to add operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from tvmopt.pipeline.importers.onnx_form.layer_names import unique
from tvmopt.pipeline.importers.onnx_form.operators import standard_opset
from tvmopt.pipeline.support.weights.parked import array_of

Array = npt.NDArray[Any]
Dtype = np.dtype[Any]


class NotKnownError(Exception):
    """A rule asked for a shape, dtype or constant that is not known: it leaves the node as it is."""


class Draft:
    """The nodes that replace those of `model`, whose values have the types that shape inference found.

    Args:
        model: is not changed.

    Attributes:
        opset: version of the operators.
        nodes: what was added.
        initializers: the constants by name.
        sequences: the names of the tensors in each sequence whose nodes were replaced.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.opset = standard_opset(model)
        self.nodes: list[onnx.NodeProto] = []
        self.sequences: dict[str, tuple[str, ...]] = {}
        self.initializers: dict[str, onnx.TensorProto] = {tensor.name: tensor for tensor in model.graph.initializer}
        self._types: dict[str, tuple[tuple[int, ...] | None, Dtype]] = {}
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
            self._learn(value)
        self._taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
        self._taken |= {value.name for value in model.graph.input} | self.initializers.keys()
        self._layer = ""

    def _learn(self, value: onnx.ValueInfoProto) -> None:
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type") or kind.elem_type in (0, onnx.TensorProto.STRING):
            return
        sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim]
        known = kind.HasField("shape") and min(sizes, default=0) >= 0
        shape = tuple(sizes) if known else None
        self._types[value.name] = shape, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))

    def begin(self, node: onnx.NodeProto) -> None:
        """Makes what is added from now on part of the layer of `node`."""
        self._layer = node.name or node.output[0]

    def shape(self, name: str) -> tuple[int, ...]:
        """The static shape of a value.

        Raises:
            NotKnownError: it is not known.
        """
        if name in self.initializers:
            return tuple(self.initializers[name].dims)
        shape, _ = self._types.get(name, (None, None))
        if shape is None:
            raise NotKnownError(name)
        return shape

    def dtype(self, name: str) -> Dtype:
        """The dtype of a value.

        Raises:
            NotKnownError: it is not known.
        """
        if name in self.initializers:
            return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(self.initializers[name].data_type))
        if name not in self._types:
            raise NotKnownError(name)
        return self._types[name][1]

    def is_constant(self, name: str) -> bool:
        """Whether the value's elements are known."""
        return name in self.initializers

    def constant(self, name: str) -> Array:
        """The elements of a constant.

        Raises:
            NotKnownError: `name` is no constant.
        """
        if name not in self.initializers:
            raise NotKnownError(name)
        return array_of(self.initializers[name])

    def keep(self, node: onnx.NodeProto) -> None:
        """Adds a node of the model as it is."""
        self.nodes.append(node)

    def store(self, array: Any, dtype: Any = None) -> str:
        """Adds a constant and returns its name."""
        name = unique(f"{self._layer}/constant", self._taken)
        self.initializers[name] = numpy_helper.from_array(np.array(array, dtype, order="C"), name)
        return name

    def keep_constant(self, tensor: onnx.TensorProto) -> str:
        """Adds a constant of a subgraph and returns its name."""
        name = self.name(tensor.name)
        self.initializers[name] = onnx.TensorProto()
        self.initializers[name].CopyFrom(tensor)
        self.initializers[name].name = name
        return name

    def name(self, stem: str) -> str:
        """A new name, for a value of a subgraph that becomes one of the model."""
        return unique(f"{self._layer}/{stem}", self._taken)

    def ints(self, *values: int) -> str:
        """Adds a constant of int64 in one dimension and returns its name."""
        return self.store(values, np.int64)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one output and returns the name of that."""
        return self.add_several(operator, inputs, 1, **attributes)[0]

    def add_several(self, operator: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        """Adds a node and returns the names of its outputs."""
        names = [unique(f"{self._layer}/{operator}", self._taken) for _ in range(outputs)]
        self.nodes.append(onnx.helper.make_node(operator, inputs, names, name=names[0], **attributes))
        return names

    def give(self, output: str, value: str) -> None:
        """Makes `value` the value of the model that is called `output`."""
        if output:
            self.nodes.append(onnx.helper.make_node("Identity", [value], [output], name=f"{self._layer}/{output}"))

    def cast(self, name: str, dtype: Any) -> str:
        """`name` as `dtype`."""
        return self.add("Cast", name, to=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        """`name` in another shape of positive sizes."""
        return self.add("Reshape", name, self.ints(*shape))

    def transpose(self, name: str, axes: Sequence[int]) -> str:
        """`name` with its axes permuted."""
        return name if list(axes) == sorted(axes) else self.add("Transpose", name, perm=list(axes))

    def reduce(self, kind: str, name: str, axes: Sequence[int], keepdims: bool = True) -> str:
        """A reduction such as ``ReduceSum`` over `axes`, which must not be empty; axes are inputs or attributes."""
        if self.opset >= (13 if kind == "ReduceSum" else 18):
            return self.add(kind, name, self.ints(*axes), keepdims=int(keepdims))
        return self.add(kind, name, axes=list(axes), keepdims=int(keepdims))

    def slice(self, name: str, axis: int, first: int, end: int) -> str:
        """The part of `name` from `first` to before `end` on one axis."""
        return self.add("Slice", name, *(self.ints(place) for place in (first, end, axis)))

    def take(self, name: str, places: Any, axis: int) -> str:
        """The elements of `name` at constant `places` of an axis."""
        return self.add("Gather", name, self.store(places, np.int64), axis=axis)


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of `node` by name, strings decoded."""

    def decoded(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode()
        return [decoded(item) for item in value] if isinstance(value, list) else value

    return {attribute.name: decoded(onnx.helper.get_attribute_value(attribute)) for attribute in node.attribute}


def input_of(node: onnx.NodeProto, place: int) -> str:
    """The name of an input; empty where it is absent."""
    return node.input[place] if len(node.input) > place else ""


def output_of(node: onnx.NodeProto, place: int) -> str:
    """The name of an output; empty where it is absent."""
    return node.output[place] if len(node.output) > place else ""


Rule = Callable[[Draft, onnx.NodeProto], bool]
"""Adds what replaces a node to the draft and returns True, or returns False without having added anything."""
