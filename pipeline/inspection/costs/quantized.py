"""What QDQ form means for costs: a product of dequantised bytes is a product of integers.

Only the products of a quantised network are written with floats; what they multiply has a byte for each element, and
the DequantizeLinear before them computes and moves nothing. Any other reader of one gets floats.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tvmopt.pipeline.types import TensorSpec

if TYPE_CHECKING:
    import onnx

PRODUCTS = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))
"""Operators that multiply their first two operands."""

_BYTES = ("int8", "uint8")


class QuantizedForm:
    """Which values of an ONNX graph are dequantised bytes, and what reads them."""

    def __init__(self, graph: onnx.GraphProto, specs: Mapping[str, TensorSpec]) -> None:
        self._bytes: dict[str, str] = {
            node.output[0]: node.input[0]
            for node in graph.node
            if node.op_type == "DequantizeLinear" and node.input[0] in specs and specs[node.input[0]].dtype in _BYTES
        }
        self._readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node if self._bytes else ():
            for name in node.input:
                self._readers[name].append(node)
        self._results = {value.name for value in graph.output}

    def multiplies(self, node: onnx.NodeProto) -> bool:
        """Whether `node` is a product of bytes."""
        return node.op_type in PRODUCTS and all(name in self._bytes for name in node.input[:2])

    def bytes_of(self, name: str) -> str:
        """The bytes that a value stands for; any other value itself."""
        return self._bytes.get(name, name)

    def is_folded(self, node: onnx.NodeProto) -> bool:
        """Whether `node` only dequantises bytes that are then multiplied as such."""
        name = node.output[0] if node.output else ""
        if name not in self._bytes or name in self._results:
            return False
        return all(self.multiplies(reader) for reader in self._readers[name])
