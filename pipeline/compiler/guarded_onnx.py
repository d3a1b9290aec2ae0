"""Checks of indices as operators of ONNX, for targets whose kernels cannot report a failure: GPUs.

An index that is out of range is replaced by zero, so that nothing outside of memory is read or written, and the model
gets one more output, which says which layers had such indices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tvmopt.pipeline.graph.guard_indices import Bounds, bounds_of, check_constant
from tvmopt.pipeline.graph.ir import Graph, Node
from tvmopt.pipeline.graph.read_onnx import read_onnx

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class GuardedModel:
    """A model whose indices are checked.

    Attributes:
        model: has one more output behind the others, unless there are no `messages`: ``(len(messages),)`` of int32, 0
            where all indices are in range, else 1.
        messages: what is wrong where it is 1.
    """

    model: onnx.ModelProto
    messages: tuple[str, ...]


def guarded_onnx(model: onnx.ModelProto) -> GuardedModel:
    """`model` with a check of every index that is computed at run time.

    Args:
        model: normalised, as for `read_onnx`.

    Raises:
        UnsupportedModelError: constant indices are out of range; names the layer.
    """
    import onnx
    from onnx import helper

    graph = read_onnx(model)
    guard = _Guard(graph)
    nodes: list[Any] = []
    for node in graph.nodes:
        assert node.proto is not None
        proto = onnx.NodeProto()
        proto.CopyFrom(node.proto)
        for bounds in bounds_of(graph, node):
            if not check_constant(graph, node, bounds):
                guard.nodes = nodes
                proto.input[bounds.place] = guard.checked(node, bounds)
        nodes.append(proto)
    if not guard.flags:
        return GuardedModel(model, ())
    made = onnx.ModelProto()
    made.CopyFrom(model)
    nodes.append(helper.make_node("Concat", guard.flags, [guard.fresh("outside")], axis=0))
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    made.graph.initializer.extend(guard.constants)
    flags = helper.make_tensor_value_info(nodes[-1].output[0], onnx.TensorProto.INT32, [len(guard.flags)])
    made.graph.output.append(flags)
    return GuardedModel(made, tuple(guard.messages))


class _Guard:
    """Adds the operators of the checks."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.flags: list[str] = []
        self.messages: list[str] = []
        self._names = self._unused(graph)

    def fresh(self, stem: str) -> str:
        return f"{next(self._names)}_{stem}"

    def checked(self, node: Node, bounds: Bounds) -> str:
        """The name of the indices of `node`, with zero for those that are out of range."""
        name = node.inputs[bounds.place]
        dtype = np.dtype(self.graph.tensor(name).dtype)
        limits = np.array(bounds.limits, dtype)
        lowest = -limits if bounds.wraps else np.zeros_like(limits)
        below = self._add("Less", name, self._constant(limits))
        above = self._add("GreaterOrEqual", name, self._constant(lowest))
        inside = self._add("And", below, above)
        outside = self._add("Cast", self._add("Not", inside), to=6)  # int32
        flat = self._add("Reshape", outside, self._constant(np.array([-1])))
        self.flags.append(self._add("ReduceMax", flat, *self._axes(), keepdims=1, **self._old_axes()))
        self.messages.append(bounds.message(node))
        return self._add("Where", inside, name, self._constant(np.zeros((), dtype)))

    def _axes(self) -> tuple[str, ...]:
        return (self._constant(np.array([0])),) if self.graph.opset >= 18 else ()

    def _old_axes(self) -> dict[str, Any]:
        return {} if self.graph.opset >= 18 else {"axes": [0]}

    def _add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = self.fresh(operator)
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def _constant(self, array: np.ndarray) -> str:
        from onnx import numpy_helper

        name = self.fresh("constant")
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    @staticmethod
    def _unused(graph: Graph) -> Iterator[str]:
        number, taken = 0, (*graph.values, *graph.constants)
        while True:
            number += 1
            stem = f"tvmopt_check{number}"
            if not any(name.startswith(f"{stem}_") for name in taken):
                yield stem
