"""The register tile of a depthwise convolution: rows × columns of one channel block, a vector for each pixel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import LINE, Index, Stmt
from tvmopt.schedules.llvm.parts.operands import Operand, Pixel
from tvmopt.schedules.llvm.parts.register_tile import FMA_LATENCY, FMA_PER_CYCLE, Accumulators
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.workload import Workload

ENOUGH_PIXELS = FMA_LATENCY * FMA_PER_CYCLE
"""This many accumulators hide the latency. With more, the window's pixels do not stay in registers from tap to tap."""

Store = Callable[[list[tuple[Any, int, int]]], list[Stmt]]
"""Stores a tile's result, given as vectors, each with its row and column in the tile."""

Row = Callable[[Index, Index, Index], Stmt]
"""The taps of a row of the kernel, given its number, the image that it meets, and its row in the window there."""


class DepthwiseTile:
    """Writes tiles of a workload whose first inputs are data (with a halo for its pads) and depthwise weights.

    Args:
        workload: has the attributes ``strides``, ``dilations`` and ``pads``.
        data: the first input.
        weight: the second, as packed by `pack_depthwise`.
        lanes: elements of a vector.
    """

    def __init__(self, workload: Workload, data: Operand, weight: Operand, lanes: int) -> None:
        self.workload, self.data, self.weight, self.lanes = workload, data, weight, lanes
        self.kernel = workload.inputs[1].shape[2:]
        self.stride, self.dilation = workload.attr("strides"), workload.attr("dilations")
        pads, halo = workload.attr("pads"), workload.inputs[0].halo
        self.offset = (halo[0] - pads[0], halo[1] - pads[1])

    def write(self, at: Pixel, size: tuple[int, int], unroll_rows: bool, store: Store) -> Stmt:
        """The tile of `size` rows and columns that begins at output pixel `at`.

        Args:
            at: its first pixel.
            size: rows and columns.
            unroll_rows: whether the loop over the kernel's rows is unrolled, too.
            store: stores all results.
        """
        pixels = [(i, j) for i in range(size[0]) for j in range(size[1])]
        accumulators = Accumulators(len(pixels), 1, self.lanes)

        def taps(number: Index, image: Index, row: Index) -> Stmt:
            source = at._replace(image=image)

            def tap(kw: int) -> list[Stmt]:
                return accumulators.multiply_add(
                    lambda p: self._pixel(source, pixels[p], row, kw), lambda _: self._tap(at.block, number, kw)
                )

            return emit.seq(part for kw in range(self.kernel[1]) for part in tap(kw))

        body = [*accumulators.fill(0.0), *self.over_rows(at, unroll_rows, taps)]
        body += store([(accumulators.value(p, 0), i, j) for p, (i, j) in enumerate(pixels)])
        return accumulators.run(body)

    def over_rows(self, at: Pixel, unroll: bool, taps: Row) -> list[Stmt]:
        """`taps` for each row of the kernel that the windows of a tile have."""
        if unroll:
            return [taps(row, at.image, row) for row in range(self.kernel[0])]
        return [emit.loop(self.kernel[0], lambda row: taps(row, at.image, row), "kh")]

    def ahead(self, at: Pixel, size: tuple[int, int]) -> list[Stmt]:
        """Prefetches what the tiles below this one read first: the rows below its window."""
        window = (size[0] - 1) * self.stride[0] + (self.kernel[0] - 1) * self.dilation[0] + 1
        row = at.row * self.stride[0] + self.offset[0] + window
        column, together = at.column * self.stride[1] + self.offset[1], max(1, LINE // self.lanes)
        return [
            emit.prefetch(self.data.view, [at.image, at.block, row + i, column + j, 0])
            for i in range(size[0] * self.stride[0])
            for j in range(0, size[1] * self.stride[1], together)
        ]

    def _pixel(self, at: Pixel, pixel: tuple[int, int], kh: Index, kw: int) -> emit.Expr:
        y = (at.row + pixel[0]) * self.stride[0] + kh * self.dilation[0] + self.offset[0]
        x = (at.column + pixel[1]) * self.stride[1] + kw * self.dilation[1] + self.offset[1]
        return emit.load(self.data.view, [at.image, at.block, y, x, 0], self.lanes)

    def _tap(self, block: Index, kh: Index, kw: int) -> emit.Expr:
        place = ((block * self.kernel[0] + kh) * self.kernel[1] + kw) * self.lanes
        return emit.load(self.weight.view, [0, 0, 0, 0, place], self.lanes)


def map_cycles(workload: Workload, size: tuple[int, int], tile: tuple[int, int]) -> float:
    """Estimated cycles for `size` rows and columns of one channel block: a tile loads its window once.

    Args:
        workload: has the depthwise convolution's weights and attributes.
        size: rows and columns of the output.
        tile: rows and columns of a tile.
    """
    taps, total = math.prod(workload.inputs[1].shape[2:]), 0.0
    for rows, row_count in Cut.of(size[0], tile[0]).sizes():
        for columns, column_count in Cut.of(size[1], tile[1]).sizes():
            pixels, window = rows * columns, window_size(workload, (rows, columns))
            arithmetic = max(pixels * taps / 2, 4.0 * taps)
            total += row_count * column_count * (max(arithmetic, (window + taps) / 2) + pixels + 10)
    return total


def window_size(workload: Workload, tile: tuple[int, int]) -> int:
    """Pixels of the data that a tile of rows × columns reads, ignoring dilation."""
    kernel, stride = workload.inputs[1].shape[2:], workload.attr("strides")
    return math.prod((tile[i] - 1) * stride[i] + kernel[i] for i in range(2))


def packed_depthwise(workload: Workload, lanes: int) -> tuple[int, ...]:
    """The shape of the weights in memory: one flat row."""
    channels, _, rows, columns = workload.inputs[1].shape
    return (math.ceil(channels / lanes) * lanes * rows * columns,)


def pack_depthwise(array: npt.NDArray[Any], lanes: int) -> npt.NDArray[Any]:
    """Weights C×1×KH×KW → flat ``(C/lanes, KH, KW, lanes)``; absent channels are zeros."""
    padded = np.pad(array[:, 0], ((0, -array.shape[0] % lanes), (0, 0), (0, 0)))
    blocks = padded.reshape(-1, lanes, *padded.shape[1:])
    return np.ascontiguousarray(blocks.transpose(0, 2, 3, 1)).ravel()
