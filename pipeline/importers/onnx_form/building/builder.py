"""Builds an ONNX model node by node, and knows the shape and dtype of every value as soon as it is there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.shape_inference
from onnx import helper, numpy_helper

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.layer_names import unique
from tvmopt.pipeline.support.messages import one_line

OPSET = 18
_IR_VERSION = 10
_MOST_ELEMENTS = 1 << 31
"""No value of a network that can be run here is larger."""
_TELLING_ELEMENTS = 64
"""Constants of whole numbers up to this size may decide shapes."""

Array = npt.NDArray[Any]


class GraphBuilder:
    """A graph that grows layer by layer.

    Args:
        name: of the graph.
    """

    def __init__(self, name: str) -> None:
        self._model = onnx.ModelProto(ir_version=_IR_VERSION, producer_name="tvmopt")
        self._model.opset_import.append(helper.make_opsetid("", OPSET))
        self._graph = self._model.graph
        self._graph.name = name or "network"
        self._types: dict[str, onnx.ValueInfoProto] = {}
        self._telling: dict[str, onnx.TensorProto] = {}
        self._names: set[str] = set()
        self._node_names: set[str] = set()
        self._layer = ""
        self._first_node = 0

    def input(self, name: str, shape: Sequence[int], dtype: str = "float32") -> str:
        """Adds an input of the network."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        value = helper.make_tensor_value_info(unique(name, self._names), kind, list(shape))
        self._remember(value)
        self._graph.input.append(value)
        return str(value.name)

    def constant(self, array: Array, name: str = "constant") -> str:
        """Adds a constant; `name` is where its name begins."""
        name = unique(f"{self._layer}/{name}" if self._layer else name, self._names)
        tensor = self._graph.initializer.add(name=name, dims=array.shape)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.raw_data = _content(array)
        self._remember(helper.make_tensor_value_info(name, tensor.data_type, array.shape))
        if (array.dtype == np.int64 and array.size <= _TELLING_ELEMENTS) or array.size == 1:
            self._telling[name] = tensor
        return name

    def number(self, value: float) -> str:
        """Adds a single float32."""
        return self.constant(np.array(value, np.float32), "number")

    def integers(self, values: Sequence[int]) -> str:
        """Adds a row of int64."""
        return self.constant(np.array(values, np.int64), "integers")

    def begin(self, layer: str) -> None:
        """Says that what follows belongs to the user's `layer`."""
        self._layer, self._first_node = layer, len(self._graph.node)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one output.

        Raises:
            UnsupportedModelError: the operands do not fit, or the result is too large.
        """
        return self.add_many(operator, inputs, 1, **attributes)[0]

    def add_many(self, operator: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        """Adds a node with several outputs; raises as `add`."""
        start = f"{self._layer}/{operator}"
        names = [unique(start, self._names) for _ in range(outputs)]
        node = helper.make_node(operator, list(inputs), names, unique(start, self._node_names), **attributes)
        for value in self._infer(node, names):
            self._remember(value)
            if 0 in self.shape(value.name):
                shapes = ", ".join(str(list(self.shape(name))) for name in inputs if name)
                raise UnsupportedModelError(
                    f"layer {self._layer!r} makes nothing of its operands of shapes {shapes}: give larger inputs"
                )
        self._graph.node.append(node)
        return names

    def finish(self, values: Sequence[str], names: Sequence[str]) -> list[str]:
        """Ends a layer: its results `values` get `names` as far as the layer made them; returns what they are called.

        The layer's last node gets the layer's name.
        """
        nodes = self._graph.node[self._first_node :]
        made = {output for node in nodes for output in node.output}
        called: dict[str, str] = {}
        for value, name in zip(values, names, strict=True):
            if value in made and value not in called:
                called[value] = unique(name, self._names)
                self._types[called[value]] = self._types[value]
                self._types[called[value]].name = called[value]
        for node in nodes:
            node.input[:] = [called.get(name, name) for name in node.input]
            node.output[:] = [called.get(name, name) for name in node.output]
        if nodes:
            nodes[-1].name = unique(self._layer, self._node_names)
        self._layer = ""
        return [called.get(value, value) for value in values]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a value; sizes that depend on data are -1."""
        dims = self._types[name].type.tensor_type.shape.dim
        return tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims)

    def dtype(self, name: str) -> np.dtype[Any]:
        """The dtype of a value."""
        return helper.tensor_dtype_to_np_dtype(self._types[name].type.tensor_type.elem_type)

    def constant_value(self, name: str) -> Array | None:
        """A constant that decides shapes; None for others."""
        tensor = self._telling.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def model(self, outputs: Sequence[tuple[str, str]]) -> onnx.ModelProto:
        """The finished model, without unused constants; `outputs` are values, each with the name that it should have.

        Raises:
            UnsupportedModelError: there are no outputs.
        """
        if not outputs:
            raise UnsupportedModelError("the network has no outputs: there is nothing to run")
        for value, name in outputs:
            if value != name:
                node = helper.make_node("Identity", [value], [name], unique(f"{name}/output", self._node_names))
                self._graph.node.append(node)
            kind = self._types[value].type.tensor_type.elem_type
            self._graph.output.append(helper.make_tensor_value_info(name, kind, self.shape(value)))
        used = {name for node in self._graph.node for name in node.input}
        for index in reversed(range(len(self._graph.initializer))):
            if self._graph.initializer[index].name not in used:
                del self._graph.initializer[index]
        return self._model

    def _remember(self, value: onnx.ValueInfoProto) -> None:
        self._types[value.name] = value
        shape = self.shape(value.name)
        if math.prod(abs(size) for size in shape) > _MOST_ELEMENTS or min(shape, default=1) < -1:
            raise UnsupportedModelError(
                f"{self._where(value.name)} has shape {list(shape)}, with more elements than any network that can be "
                "run here: give smaller inputs"
            )

    def _infer(self, node: onnx.NodeProto, outputs: Sequence[str]) -> list[onnx.ValueInfoProto]:
        """The types of the node's outputs."""
        present = [name for name in dict.fromkeys(node.input) if name]
        telling = [self._telling[name] for name in present if name in self._telling]
        known = [self._types[name] for name in present if name not in self._telling]
        results = [onnx.ValueInfoProto(name=name) for name in outputs]
        graph = helper.make_graph([node], "one", known, results, telling)
        model = helper.make_model(graph, ir_version=_IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])
        try:
            inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        except (onnx.shape_inference.InferenceError, ValueError) as error:
            shapes = ", ".join(str(list(self.shape(name))) for name in present)
            raise UnsupportedModelError(
                f"layer {self._layer!r} does not fit its operands of shapes {shapes}: {one_line(error)}"
            ) from error
        copies = [onnx.ValueInfoProto() for _ in outputs]
        for copy, value in zip(copies, inferred.graph.output, strict=True):
            copy.CopyFrom(value)
        return copies

    def _where(self, name: str) -> str:
        return f"a value of layer {self._layer!r}" if self._layer else f"{name!r}"


def _content(array: Array) -> bytes:
    """The elements in order; not copied where `array` is all of a `bytes` object."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    whole = isinstance(base, bytes) and len(base) == array.nbytes and array.flags.c_contiguous
    return base if whole else array.tobytes()
