"""How ONNX's QuantizeLinear and DequantizeLinear map floats to integers and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import ONNX, Array, Graph, Node, as_float32
from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.expression import functions_of
from tvmopt.schedules.operators import INTEGERS, POOL2D, RESIZE2D

BYTES = ("uint8", "int8")
"""The element types of quantised values that kernels know."""

MOVED = 128
"""What is added to values of int8, and to their zero point, so that they are uint8."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The constant scale of a quantised value.

    Attributes:
        dtype: ``uint8`` or ``int8``.
        scale: float32; one, or one for each element along the axis.
        zero: the integer that stands for zero, as int32; as many as scales.
        axis: of the scales, where there are several.
    """

    dtype: str
    scale: Array
    zero: Array
    axis: int

    @property
    def is_single(self) -> bool:
        """Whether one scale holds for the whole tensor."""
        return self.scale.size == 1

    def fits_maps(self, shape: tuple[int, ...]) -> bool:
        """Whether kernels can take it: one scale, or one for each channel of maps, and one zero point."""
        by_channel = len(shape) == 4 and self.axis == 1 and self.scale.size == shape[1]
        return self.is_single or (by_channel and bool((self.zero == self.zero.reshape(-1)[0]).all()))

    @property
    def unsigned_zero(self) -> int:
        """The zero point of the value as uint8, if it has one."""
        return int(self.zero.reshape(-1)[0]) + (MOVED if self.dtype == "int8" else 0)

    def equals(self, other: Scale) -> bool:
        """Whether both map alike."""
        same = self.dtype == other.dtype and (self.axis == other.axis or self.is_single)
        return same and all(
            np.array_equal(one.reshape(-1), two.reshape(-1))
            for one, two in ((self.scale, other.scale), (self.zero, other.zero))
        )

    def real(self, array: Array) -> Array:
        """The floats that the integers `array` stand for, as float32."""
        shape = [1] * array.ndim
        if not self.is_single:
            shape[self.axis] = -1
        offset = array.astype(np.int32) - self.zero.reshape(shape if array.ndim else ())
        return as_float32(offset.astype(np.float32) * self.scale.reshape(shape if array.ndim else ()))


def scale_of(graph: Graph, node: Node) -> Scale | None:
    """The scale of a QuantizeLinear or DequantizeLinear, if it is constant and its integers are bytes; else None.

    A scale that is zero, negative or not finite is none; nor are scales for blocks of elements.
    """
    integers = graph.tensor(node.output if node.kind == "QuantizeLinear" else node.inputs[0])
    constants, dtype, values, rank = graph.constants, integers.dtype, attributes(node), len(integers.shape)
    scale = constants.get(node.inputs[1])
    given = node.inputs[2] if len(node.inputs) > 2 else ""
    zero = constants.get(given) if given else None
    if dtype not in BYTES or scale is None or (given and zero is None) or values.get("block_size"):
        return None
    if scale.dtype != np.float32 or scale.size == 0 or not (np.isfinite(scale).all() and (scale > 0).all()):
        return None
    zeros = np.zeros(scale.shape, np.int32) if zero is None else zero.astype(np.int32)
    axis = values.get("axis", 1)
    assert isinstance(axis, int)
    return Scale(dtype, scale, zeros, axis % max(rank, 1))


def quantizes(node: Node | None) -> bool:
    """Whether `node` is ONNX's QuantizeLinear."""
    return node is not None and node.op == ONNX and node.kind == "QuantizeLinear"


def dequantizes(node: Node | None) -> bool:
    """Whether `node` is ONNX's DequantizeLinear."""
    return node is not None and node.op == ONNX and node.kind == "DequantizeLinear"


def reads_bytes(graph: Graph, node: Node) -> bool:
    """Whether the kernel of `node` computes with quantised maps, and may write them."""
    either = node.operator in (POOL2D, RESIZE2D) and graph.tensor(node.inputs[0]).dtype == QUANTIZED
    return either or node.operator in INTEGERS


def rounds_to_bytes(graph: Graph) -> bool:
    """Whether some value of `graph` is rounded to integers of few bits."""
    return any(quantizes(node) or "quantize" in functions_of(node.epilogue) for node in graph.nodes)
