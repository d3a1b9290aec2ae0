"""What Winograd's algorithm makes of a convolution: the filters of both axes, the tiles, and what they read."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.compute.winograd import (
    ALONE,
    TILES,
    Filter,
    filter_of,
    first_input,
    has_filter,
    transform_kernels,
    transposed_filter,
)
from tvmopt.schedules.llvm.convolution.shape import phases_by_axis
from tvmopt.schedules.llvm.parts.planes import has_depth
from tvmopt.schedules.workload import Attr, Workload

KERNEL = (3, 3)
"""The kernel over images; over lines it may be of any length for which there are filters."""
STRIDED_TILE = 2
"""The largest output tile over images with a stride: 4 has 81 points, whose weights and patches leave the cache."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A workload under one output tile.

    Attributes:
        workload: the workload; a line is turned, so that it lies along the rows.
        rows, columns: the filters of both axes.
        begin: row and column of the data, without its halo, with which the patch of the first tile begins.
        planes: planes of a window; one over images.
        turned: whether rows and columns are exchanged.
    """

    workload: Workload
    rows: Filter
    columns: Filter
    begin: tuple[int, int]
    planes: int
    turned: bool

    @property
    def points(self) -> int:
        """Multiplications for each tile and pair of channels."""
        return self.rows.points * self.columns.points

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of output tiles."""
        height, width = self.workload.output.shape[2:]
        return math.ceil(height / self.rows.tile), math.ceil(width / self.columns.tile)

    @property
    def strided(self) -> bool:
        """Whether tiles lie further apart in an image's data than in its output."""
        steps = (self.rows.step, self.columns.step)
        return not self.columns.alone and steps > (self.rows.tile, self.columns.tile)

    @property
    def depth(self) -> int:
        """Length of the products' reduction: the input channels of all planes."""
        return self.planes * self.workload.inputs[0].shape[1]

    def transformed(self, weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Weights as the workload has them → ``(points, planes × input channels, output channels)``."""
        outputs, inputs, rows, columns = weights.shape
        by_plane = weights.reshape(outputs, inputs, self.planes, rows // self.planes, columns).swapaxes(1, 2)
        kernels = by_plane.reshape(outputs, -1, rows // self.planes, columns)
        if self.turned:
            kernels = kernels.swapaxes(2, 3)
        return transform_kernels((self.rows, self.columns), kernels)


def tiles_of(workload: Workload) -> tuple[int, ...]:
    """The output tiles for which there are filters that save multiplications."""
    return tuple(tile for tile in TILES if _has_plan(workload, tile))


@lru_cache(maxsize=1024)
def plan_of(workload: Workload, tile: int) -> Plan:
    """The plan of a workload for one of `tiles_of`."""
    line = _is_line(workload)
    begin: tuple[int, int]
    if workload.op == "transposed_conv2d":
        phases = phases_by_axis(workload)
        kernel = workload.inputs[1].shape[2:]
        both = [transposed_filter(tile, kernel[i], phases[i]) for i in range(2)]
        begin = (first_input(phases[0]), first_input(phases[1]))
    else:
        strides, pads = workload.attr("strides"), workload.attr("pads")
        both = [filter_of(tile, size, strides[i]) for i, size in enumerate(_kernel(workload))]
        begin = (-pads[0], -pads[1])
    if line:
        turned = replace(
            workload,
            inputs=tuple(tensor.turned() for tensor in workload.inputs),
            output=workload.output.turned(),
            attrs=_turned(workload),
        )
        return Plan(turned, both[1], ALONE, (begin[1], begin[0]), 1, turned=True)
    return Plan(workload, both[0], both[1], begin, _planes(workload), turned=False)


def _turned(workload: Workload) -> tuple[tuple[str, Attr], ...]:
    """The attributes, with what belongs to rows and columns exchanged."""

    def swapped(value: Attr) -> Attr:
        pairs = (value[i : i + 2] for i in range(0, len(value), 2)) if isinstance(value, tuple) else ()
        return tuple(part for one, other in pairs for part in (other, one))

    exchanged = ("strides", "dilations", "pads")
    return tuple((name, swapped(value) if name in exchanged else value) for name, value in workload.attrs)


def _is_line(workload: Workload) -> bool:
    """Whether everything is one row, without halos above and below it."""
    if has_depth(workload):
        return False
    tensors = [x for x in (workload.inputs[0], *workload.inputs[2:], workload.output) if len(x.shape) == 4]
    return all(x.shape[2] == 1 and x.halo[0] == x.halo[2] == 0 for x in tensors) and _kernel(workload)[0] == 1


def _planes(workload: Workload) -> int:
    return int(workload.attr("depth")[0]) if has_depth(workload) else 1


def _kernel(workload: Workload) -> tuple[int, int]:
    """Rows and columns of the window in one plane."""
    rows, columns = workload.inputs[1].shape[2:]
    return rows // _planes(workload), columns


def _has_plan(workload: Workload, tile: int) -> bool:
    if workload.attr("groups") != 1 or workload.attr("dilations") != (1, 1):
        return False
    line = _is_line(workload)
    if workload.op == "transposed_conv2d":
        phases = phases_by_axis(workload)[line:]
        shares = [[len(phase.taps) for phase in axis.each] for axis in phases]
    else:
        kernel, strides = _kernel(workload)[line:], workload.attr("strides")[line:]
        if not line and (kernel != KERNEL or (strides != (1, 1) and tile > STRIDED_TILE)):
            return False
        shares = [[len(range(i, kernel[a], strides[a])) for i in range(strides[a])] for a in range(len(kernel))]
    taps = [own for axis in shares for own in axis]
    # A share of one tap saves nothing.
    return all(has_filter(tile, own) for own in taps if own) and max(taps) > 1
