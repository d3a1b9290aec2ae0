"""The constant weights of layers that read quantised data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tvmopt.pipeline.graph.ir import Array, Graph, Node
from tvmopt.pipeline.graph.quantized.scales import dequantizes, scale_of

LEAST, MOST = -128, 127
"""The range of int8."""

LARGEST, LARGEST_SUM = 255, np.iinfo(np.int32).max
"""The largest difference of two bytes, and the largest sum that kernels of integers compute."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights as kernels take them: ``(integers + shifts) · scales``, output channels first.

    Attributes:
        integers: int8.
        scales: float32, one for each output channel.
        shifts: int32, one for each output channel: what of its zero point does not fit into its integers.
    """

    integers: Array
    scales: Array
    shifts: Array

    @property
    def sums_fit(self) -> bool:
        """Whether the sums of products with bytes, less their zero point, fit int32, whatever the data."""
        rows = self.integers.reshape(len(self.integers), -1)
        if not rows.size or products_fit(rows.shape[1]):
            return True
        largest = max(int(np.abs(row + np.int32(shift)).sum()) for row, shift in zip(rows, self.shifts, strict=True))
        return largest * LARGEST <= LARGEST_SUM


def products_fit(count: int) -> bool:
    """Whether the sum of `count` products of two differences of bytes fits int32."""
    return count * LARGEST**2 <= LARGEST_SUM


def weights_of(graph: Graph, producers: Mapping[str, Node], name: str, turned: bool = False) -> Weights | None:
    """Constant weights with a scale for each output channel, or one; None for others.

    Args:
        graph: has them.
        producers: of its values.
        name: result of the DequantizeLinear that makes floats of them.
        turned: whether it is a matrix whose output channels come last.
    """
    node = producers.get(name)
    if node is None or not dequantizes(node) or node.inputs[0] not in graph.constants:
        return None
    scale, integers = scale_of(graph, node), graph.constants[node.inputs[0]]
    if scale is None or not (scale.is_single or scale.axis == int(turned)) or (turned and integers.ndim != 2):
        return None
    integers = integers.T if turned else integers
    zero = np.broadcast_to(scale.zero.reshape(-1), (len(integers),)).reshape(-1, *[1] * (integers.ndim - 1))
    scales = np.broadcast_to(scale.scale.reshape(-1), (len(integers),))
    if scale.dtype == "int8" and not zero.any():
        return Weights(integers, scales, np.zeros(len(integers), np.int32))
    return _moved(integers.astype(np.int16) - zero.astype(np.int16), scales)


def whole_weights(array: Array) -> Weights | None:
    """Weights of floats, output channels first, if they are the differences of bytes; else None."""
    if array.dtype != np.float32 or not array.size or not (np.abs(array) <= 255).all():
        return None
    integers = array.astype(np.int16)
    if not np.array_equal(integers, array) or (np.ptp(integers.reshape(len(array), -1), axis=1) > MOST - LEAST).any():
        return None
    return _moved(integers, np.ones(len(array), np.float32))


def _moved(integers: Array, scales: Array) -> Weights:
    """Weights of int16, no two of a channel more than 255 apart, as int8 and what was subtracted from them."""
    rows = integers.reshape(len(integers), -1)
    most, least = rows.max(axis=1), rows.min(axis=1)
    shifts = np.where(most > MOST, most - MOST, np.where(least < LEAST, least - LEAST, 0))
    moved = integers - shifts.reshape(-1, *[1] * (integers.ndim - 1))
    return Weights(moved.astype(np.int8), scales, shifts.astype(np.int32))
