"""Depthwise convolution of quantised maps, uint8, with weights of int8; sums are int32 and exact."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.depthwise.depthwise import DepthwiseConv2d, DepthwiseNest
from tvmopt.schedules.llvm.depthwise.integer_pairs import PairsTile
from tvmopt.schedules.llvm.depthwise.integer_quads import QuadsTile
from tvmopt.schedules.llvm.depthwise.integer_tile import IntegerTile
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.operands import Operand
from tvmopt.schedules.llvm.parts.quads import QUAD, SUMS, adds_quads, moved_data, multiplies_bytes
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload


class IntegerDepthwiseConv2d(DepthwiseConv2d):
    """The template; workload: data (uint8), weight (int8, constant, C×1×KH×KW), then operands of the epilogue."""

    name = "integer_depthwise_conv2d"
    version = 2

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Data and output blocked by the vector, no dilation, a halo that whole quads of pixels do not leave."""
        if workload.op != "integer_depthwise_conv2d" or not multiplies_bytes(target):
            return False
        if [x.dtype for x in workload.inputs[:2]] != [QUANTIZED, "int8"] or workload.attr("dilations") != (1, 1):
            return False
        return workload.inputs[0].block == target.lanes(FLOAT32) == workload.output.block

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """The weights, then what the sums of each channel begin with, four bytes each."""
        return {1: (_elements(workload, target) * QUAD,)}

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights C×1×KH×KW as the tiles read them, then the first sums; all bytes, and absent channels zeros."""
        lanes = target.lanes(FLOAT32)
        padded = np.pad(array[:, 0], ((0, -len(array) % lanes), (0, 0), (0, 0)))
        sums = padded.astype(np.int32).sum(axis=(1, 2), dtype=np.int32) * np.int32(
            moved_data(target) - workload.attr("zero")
        )
        return np.concatenate([part.ravel().view(np.int8) for part in (_tile(target).pack(padded, lanes), sums)])

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        elements = _elements(workload, target)
        weight = Operand(Tensor((elements * QUAD,), "int8"), "weight").seen_as(Tensor((elements,), SUMS))
        nest = DepthwiseNest(workload, target, config, partial(_tile(target), target), weight)
        return emit.keeping_sums(nest.function())


def _tile(target: Target) -> type[IntegerTile]:
    """How the products are added."""
    return QuadsTile if adds_quads(target) else PairsTile


def _elements(workload: Workload, target: Target) -> int:
    """Elements of four bytes of the packed weights, with the first sums."""
    channels, _, rows, columns = workload.inputs[1].shape
    lanes = target.lanes(FLOAT32)
    return math.ceil(channels / lanes) * lanes * (_tile(target).elements((rows, columns)) + 1)
