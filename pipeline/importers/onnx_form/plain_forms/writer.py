"""Writes the nodes that take the place of another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


@dataclass(slots=True)
class Writer:
    """Writes the nodes that take the place of `node`.

    Attributes:
        node: what is replaced.
        known: types of values.
        opset: the version of ONNX's operators.
        made: the nodes so far.
    """

    node: onnx.NodeProto
    known: Mapping[str, onnx.TypeProto.Tensor]
    opset: int
    made: list[onnx.NodeProto] = field(default_factory=list)

    @property
    def x(self) -> str:
        """The first operand."""
        return str(self.node.input[0])

    @property
    def dtype(self) -> Any:
        """The first operand's element type."""
        return helper.tensor_dtype_to_np_dtype(self.known[self.x].elem_type)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The static shape of a value; None when it has none."""
        kind = self.known.get(name)
        if kind is None or not kind.HasField("shape"):
            return None
        dims = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim)
        return None if -1 in dims else dims

    def attribute(self, name: str, default: Any) -> Any:
        """An attribute of the node."""
        found = next((attribute for attribute in self.node.attribute if attribute.name == name), None)
        return default if found is None else helper.get_attribute_value(found)

    def operand(self, place: int) -> str:
        """The name of an operand; empty where it is absent."""
        return str(self.node.input[place]) if place < len(self.node.input) else ""

    def write(self, operator: str, *operands: str | float, **attributes: Any) -> str:
        """Adds a node of one output and returns its name; numbers become constants of the first operand's dtype."""
        names = [self.constant(np.asarray(x, self.dtype)) if isinstance(x, float) else x for x in operands]
        return self._add(operator, names, attributes)

    def constant(self, array: np.ndarray) -> str:
        """Adds a constant."""
        return self._add("Constant", [], {"value": numpy_helper.from_array(array)})

    def _add(self, operator: str, names: list[str], attributes: Mapping[str, Any]) -> str:
        made = f"{self.node.output[0]}_plain_{len(self.made)}"
        name = f"{self.node.name or self.node.output[0]}/{operator}_{len(self.made)}"
        self.made.append(helper.make_node(operator, names, [made], name, **attributes))
        return made


Form = Callable[[Writer], str | None]
"""Writes what a node computes and returns the name of the result; None where it cannot."""


def written(writer: Writer, form: Form) -> list[onnx.NodeProto] | None:
    """The nodes that `form` writes in place of the writer's node, the last with that one's first output; or None."""
    result = form(writer)
    if result is None:
        return None
    output = writer.node.output[0]
    (last,) = (made for made in writer.made if made.output[0] == result)
    for other in writer.made:
        other.input[:] = [output if name == result else name for name in other.input]
    last.output[0] = output
    return writer.made
