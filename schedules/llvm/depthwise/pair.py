"""What the two kernels have in common that compute a depthwise and a 1×1 convolution in one: weights and operands."""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from tvmopt.schedules.llvm.depthwise.depthwise_tile import pack_depthwise, packed_depthwise
from tvmopt.schedules.llvm.parts.operands import Operand
from tvmopt.schedules.llvm.parts.register_tile import channel_panels
from tvmopt.schedules.workload import Tensor, Workload


def packed_pair(workload: Workload, lanes: int) -> dict[int, tuple[int, ...]]:
    """The shapes of both weights in memory: one flat row each."""
    outputs, inputs = workload.inputs[2].shape[:2]
    return {1: packed_depthwise(workload, lanes), 2: (inputs * math.ceil(outputs / lanes) * lanes,)}


def pack_pair(index: int, array: npt.NDArray[Any], vectors: int, lanes: int) -> npt.NDArray[Any]:
    """Depthwise weights (input 1) by block, pointwise weights O×I×1×1 → flat ``(tile, I, vectors × lanes)``."""
    if index == 1:
        return pack_depthwise(array, lanes)
    return channel_panels(array[:, :, 0, 0].T, vectors, lanes)


def pair_operands(workload: Workload, packed: dict[int, tuple[int, ...]]) -> list[Operand]:
    """The inputs, both weights as they are packed."""
    data, depthwise, pointwise, *others = workload.inputs
    return [
        Operand(data, "data"),
        Operand(Tensor(packed[1], depthwise.dtype), "depthwise"),
        Operand(Tensor(packed[2], pointwise.dtype), "pointwise"),
        *(Operand(tensor, f"operand{i}") for i, tensor in enumerate(others)),
    ]
