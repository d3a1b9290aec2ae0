"""The sizes of a convolution as its loop nest sees them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.compute.phases import Phases, phases_of
from tvmopt.schedules.llvm.parts.operands import flattens
from tvmopt.schedules.llvm.parts.planes import has_depth
from tvmopt.schedules.llvm.parts.quads import QUAD
from tvmopt.schedules.workload import Workload


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a convolution as the loop nest sees them.

    `flat` says that rows and columns are one row. Over volumes, the planes of a window are rows of the kernel. Of
    quantised data, four neighbouring channels count as one: a multiply-add of integers takes four at a time.
    Their groups of few channels are one for each block (`is_narrow`).
    """

    n: int
    in_channels: int
    out_channels: int
    groups: int
    rows: int
    columns: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    block: int
    flat: bool

    @property
    def group_in(self) -> int:
        """Input channels of one group."""
        return self.in_channels // self.groups

    @property
    def pointwise(self) -> bool:
        """Whether each output pixel depends only on the input pixel at the same place."""
        return self.kernel == (1, 1) and self.stride == (1, 1)

    @property
    def one_row(self) -> bool:
        """Whether the map is one row, so that threads share its columns."""
        return self.rows == 1

    @property
    def reduction(self) -> int:
        """Multiply-adds for one output element."""
        return self.group_in * self.kernel[0] * self.kernel[1]


@lru_cache(maxsize=256)
def shape_of(workload: Workload) -> Shape:
    """The sizes of a workload for the loop nest; each phase of a transposed convolution is a group."""
    if workload.op == "transposed_conv2d":
        return _transposed_shape(workload)
    data, weight, output = workload.inputs[0], workload.inputs[1], workload.output
    n, channels, rows, columns = output.shape
    kernel = (weight.shape[2], weight.shape[3])
    stride, dilation = workload.attr("strides"), workload.attr("dilations")
    planes = workload.attr("depth")[0] if has_depth(workload) else 1
    flat = kernel == (planes, 1) and stride == (1, 1) and not any(data.halo) and not any(output.halo)
    flat = flat and all(flattens(tensor, output) for tensor in workload.inputs[2:])
    if flat:
        rows, columns = 1, rows * columns
    groups = workload.attr("groups")
    together = QUAD if data.dtype == QUANTIZED else 1
    if data.dtype == QUANTIZED and is_narrow(channels // groups, data.shape[1] // groups, groups, data.block):
        groups = math.ceil(channels / data.block)
        channels = groups * data.block
        return Shape(
            n, channels // QUAD, channels, groups, rows, columns, kernel, stride, dilation, data.block // QUAD, flat
        )
    block, depth = math.ceil(data.block / together), groups * math.ceil(data.shape[1] // groups / together)
    return Shape(n, depth, channels, groups, rows, columns, kernel, stride, dilation, block, flat)


def is_narrow(outputs: int, inputs: int, groups: int, block: int) -> bool:
    """Whether several groups of a convolution of integers fill a block of channels together.

    They are then one group, with zero weights between them; the last one may be partly absent.

    Args:
        outputs: channels of a group's result.
        inputs: channels of a group's data.
        groups: how many groups.
        block: channels in a block.
    """
    return groups > 1 and outputs == inputs < block and block % inputs == 0


def _transposed_shape(workload: Workload) -> Shape:
    """Phases as groups of a convolution without stride, each with as many taps as the one that has the most."""
    data, output, rows, columns = workload.inputs[0], workload.output, *phases_by_axis(workload)
    count = len(rows.each) * len(columns.each)
    return Shape(
        output.shape[0],
        data.shape[1] * count,
        output.shape[1] * count,
        workload.attr("groups") * count,
        math.ceil(output.shape[2] / len(rows.each)),
        math.ceil(output.shape[3] / len(columns.each)),
        (rows.most, columns.most),
        (1, 1),
        (rows.step, columns.step),
        data.block,
        flat=False,
    )


def phases_by_axis(workload: Workload) -> tuple[Phases, Phases]:
    """The phases of a ``transposed_conv2d`` along rows and columns."""
    kernel = workload.inputs[1].shape[2:]
    strides, dilations, pads = (workload.attr(name) for name in ("strides", "dilations", "pads"))
    rows, columns = (phases_of(kernel[i], strides[i], dilations[i], pads[i]) for i in range(2))
    return rows, columns
