"""Direct convolution of quantised maps, uint8, with weights of int8; sums are int32 and exact.

The template differs from the one for float32 in its step: a multiply-add takes four channels (`integer_nest`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.convolution.direct import DirectConv2d, group_blocks
from tvmopt.schedules.llvm.convolution.integers.direct_nest import IntegerConv2dNest
from tvmopt.schedules.llvm.convolution.shape import Shape, is_narrow, shape_of
from tvmopt.schedules.llvm.parts.products import cost_of_quad, pairs_fit
from tvmopt.schedules.llvm.parts.quads import QUAD, moved_data, multiplies_bytes
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload


class IntegerConv2d(DirectConv2d):
    """The algorithm; workload: data (uint8), weight (int8, constant, OIHW), then operands of the epilogue."""

    name = "integer"
    stays = 32  # bytes are multiplied so fast that even few weights are waited for

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Data in blocks, output of any type blocked by the vector; groups that fill blocks, or are parts of one."""
        if workload.op != "integer_conv2d" or [x.dtype for x in workload.inputs[:2]] != [QUANTIZED, "int8"]:
            return False
        lanes, data = target.lanes(FLOAT32), workload.inputs[0]
        if not multiplies_bytes(target) or workload.output.block != lanes or data.block % QUAD:
            return False
        groups = workload.attr("groups")
        outputs, inputs = workload.output.shape[1] // groups, data.shape[1] // groups
        aligned = outputs % lanes == 0 and inputs % data.block == 0
        return bool(groups == 1 or aligned or (data.block == lanes and is_narrow(outputs, inputs, groups, lanes)))

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles of the whole layer on one core."""
        return super().cycles(workload, target, config) * cost_of_quad(target, fits=pairs_fit(workload))

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """The weights, then what the sums of each output channel begin with, four bytes each."""
        shape = shape_of(workload)
        channels = group_blocks(shape, target) * shape.groups * target.lanes(FLOAT32)
        return {1: (QUAD * channels * (shape.reduction + 1),)}

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights OIHW → as `DirectConv2d` packs them, with four input channels as one element."""
        array = whole_groups(workload, array)
        weights = self.pack_quads(workload, target, config, in_quads(array))
        return np.concatenate([weights, first_sums(workload, target, array)]).view(np.int8)

    def pack_quads(
        self, workload: Workload, target: Target, config: Config, quads: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights as `in_quads` gives them → elements of int32 as `DirectConv2d` packs them."""
        elements = np.ascontiguousarray(quads).view(np.int32)[..., 0]
        return super().pack(workload, target, config, 1, elements)

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        return IntegerConv2dNest(workload, target, config, self.packed(workload, target, config)[1]).function()

    def _depths(self, shape: Shape, target: Target, workload: Workload) -> tuple[int, ...]:
        """No chunks of the reduction: between them the output would hold the sums, and it may be of bytes."""
        return (0,)


def whole_groups(workload: Workload, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Weights ``(C, width, KH, KW)`` of narrow groups as those of groups of whole blocks; others as they are."""
    if shape_of(workload).groups == workload.attr("groups"):
        return array
    block = workload.inputs[0].block
    channels, width, *kernel = array.shape
    wide = np.zeros((-(-channels // block) * block, block, *kernel), array.dtype)
    for channel, row in enumerate(array):
        first = channel // width * width % block
        wide[channel, first : first + width] = row
    return wide


def in_quads(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Weights OIHW → ``(O, I/4, KH, KW, 4)``, padded with zeros."""
    padded = np.pad(array, ((0, 0), (0, -array.shape[1] % QUAD), (0, 0), (0, 0)))
    return padded.reshape(len(array), -1, QUAD, *array.shape[2:]).transpose(0, 1, 3, 4, 2)


def in_vectors(workload: Workload, target: Target, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``(O, …)`` → ``(vectors, lanes, …)``: each group's output channels in vectors, padded with zeros."""
    shape, lanes = shape_of(workload), target.lanes(FLOAT32)
    each = shape.out_channels // shape.groups
    grouped = array.reshape(shape.groups, each, *array.shape[1:])
    padded = np.zeros((shape.groups, group_blocks(shape, target) * lanes, *array.shape[1:]), array.dtype)
    padded[:, :each] = grouped
    return padded.reshape(-1, lanes, *array.shape[1:])


def first_sums(workload: Workload, target: Target, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What the sums of each output channel begin with, from the weights OIHW; int32."""
    sums = array.astype(np.int32).sum(axis=(1, 2, 3), dtype=np.int32) * np.int32(
        moved_data(target) - workload.attr("zero")
    )
    return in_vectors(workload, target, sums).ravel()
