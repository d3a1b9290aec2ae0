"""Direct convolution with groups of any size: each tile of output channels reads the window of input channels it needs.

A vector holds the channels of one group, of parts of two, or of several whole groups. It is multiplied with all input
channels of these groups; the weights between different groups are zeros. Groups at least as wide as a vector waste
little by this: of 24 channels with 16 lanes a third, where merging two groups into one of 48 would double the work.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.convolution.direct import COLUMNS, SHORT_REDUCTION, DirectConv2d, layer_cycles
from tvmopt.schedules.llvm.convolution.direct_nest import DirectConv2dNest
from tvmopt.schedules.llvm.convolution.grouped.windows import Windows
from tvmopt.schedules.llvm.convolution.panel import Chunk, Panel
from tvmopt.schedules.llvm.convolution.shape import Shape, shape_of
from tvmopt.schedules.llvm.parts.emit import Index, divmod_index
from tvmopt.schedules.llvm.parts.register_tile import tile_fits, useful_sizes
from tvmopt.schedules.llvm.parts.task_order import WHOLE
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

PREFETCH = (0, 512)
"""How many elements ahead weights are prefetched. Windows differ in length, so none can be prefetched evenly."""


class WindowedConv2d(DirectConv2d):
    """The algorithm; workload as for direct convolution: data, weight (constant, OIHW), epilogue's operands."""

    name = "windowed"
    spreads_nan = True  # to the other groups of its vector: their weights for it are zeros
    feature_count = 7

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32, data and output blocked by the vector, groups that do not fill whole blocks."""
        return is_uneven(workload, target)

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Tile (rows, columns, vectors), unrolling of the reduction, prefetching."""
        shape = shape_of(workload)
        columns = useful_sizes(shape.columns, target.registers - 2, COLUMNS)
        rows = useful_sizes(shape.rows, 4, (2, 3, 4))
        blocks = math.ceil(shape.out_channels / target.lanes(FLOAT32))
        counts = tuple(v for v in (1, 2, 3, 4) if v <= blocks)
        tiles = [r * c * v for r in rows for c in columns for v in counts if tile_fits(r * c, v, target)]
        least = min(target.registers // 4, max(tiles))

        def allowed(config: Config) -> bool:
            pixels = config["rows"] * config["columns"]
            return tile_fits(pixels, config["vectors"], target) and pixels * config["vectors"] >= least

        return ConfigSpace(
            (
                Knob("rows", rows),
                Knob("columns", columns),
                Knob("vectors", counts),
                Knob("unroll", tuple(u for u in (1, 2, 4, 8) if u <= max(_unit(workload), shape.kernel[1]))),
                Knob("prefetch", PREFETCH),
                Knob("result_ahead", (0, 1)),
            ),
            allowed,
            leading=3,
        )

    def default(self, workload: Workload, target: Target) -> Config:
        """The tile with the fewest estimated cycles."""
        unit = _unit(workload)
        fixed = {
            "unroll": max(u for u in (1, 2, 4) if u <= unit),
            "prefetch": PREFETCH[-1] if workload.inputs[1].nbytes > target.l2_bytes // 4 else 0,
            "result_ahead": int(shape_of(workload).reduction <= SHORT_REDUCTION),
        }
        configs = self.space(workload, target).fixed(fixed)
        return min(configs, key=lambda config: self.cycles(workload, target, config))

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles of the whole layer on one core."""
        total = 0.0
        for (vectors, units), times in _panels(workload, target, config["vectors"]).items():
            shape = _sizes(workload, units, vectors * target.lanes(FLOAT32))
            total += times * layer_cycles(shape, target, config["rows"], config["columns"], vectors)
        return total

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Estimated cycles, accumulators, loads per multiply-add, panel, waste by zeros, tasks, tail share."""
        shape = shape_of(workload)
        pixels, vectors = config["rows"] * config["columns"], config["vectors"]
        panels = _panels(workload, target, vectors)
        lanes, unit = target.lanes(FLOAT32), _unit(workload)
        read = sum(times * vectors * units * unit * lanes for (vectors, units), times in panels.items())
        units = math.ceil(shape.rows / config["rows"])
        return (
            math.log2(self.cycles(workload, target, config)),
            float(pixels * vectors),
            (pixels + vectors) / (pixels * vectors),
            math.log2(read * math.prod(shape.kernel) / panels.total()),
            read / (shape.out_channels * shape.group_in),
            math.log2(shape.n * panels.total() * units),
            shape.columns / (math.ceil(shape.columns / config["columns"]) * config["columns"]),
        )

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """The weights: one flat row."""
        lanes = target.lanes(FLOAT32)
        blocks = math.ceil(workload.output.shape[1] / lanes)
        windows = Windows.of(workload, config["vectors"] * lanes)
        return {1: (blocks * lanes * windows.most * windows.unit * math.prod(workload.inputs[1].shape[2:]),)}

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights OIHW → flat ``(tile, units, KH, KW, unit, vectors × lanes)``; what lies between groups is zeros."""
        lanes = target.lanes(FLOAT32)
        windows = Windows.of(workload, config["vectors"] * lanes)
        inputs = array.shape[1]
        parts = []
        for tile in range(windows.tiles):
            first, stop = tile * windows.width, min((tile + 1) * windows.width, len(array))
            wide = np.zeros(
                (math.ceil((stop - first) / lanes) * lanes, windows.most * windows.unit, *array.shape[2:]), array.dtype
            )
            begin = int(windows.first(tile)) * windows.unit
            for channel in range(first, stop):
                at = channel // windows.group_out * inputs - begin
                wide[channel - first, at : at + inputs] = array[channel]
            units = wide.reshape(len(wide), windows.most, windows.unit, *array.shape[2:])
            parts.append(units.transpose(1, 3, 4, 2, 0).ravel())
        return np.concatenate(parts)

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        config = {**config, "band": WHOLE, "depth": 0, "data_ahead": 0}
        return WindowedNest(workload, target, config, self.packed(workload, target, config)[1]).function()


class WindowedNest(DirectConv2dNest):
    """Writes the loop nest of one workload under one config; for it there is one group, and blocks are units."""

    def sizes(self) -> Shape:
        """The sizes of the longest window."""
        self.windows = Windows.of(self.workload, self.config["vectors"] * self.target.lanes(FLOAT32))
        return _sizes(self.workload, self.windows.most, self.workload.output.shape[1])

    def data_block(self, panel: Panel) -> Index:
        """The first unit that the panel reads."""
        return self.windows.first(panel.tile)

    def element(self, panel: Panel, block: Index, lane: Index) -> tuple[Index, Index]:
        """The block that a unit lies in, and the place of one of its channels there."""
        place, unit = divmod_index(self.data_block(panel) + block, self.lanes // self.shape.block)
        return place, unit * self.shape.block + lane

    def depth(self, panel: Panel, chunk: Chunk) -> Index:
        """The units of the panel's own window."""
        return self.windows.count(panel.tile)


def is_uneven(workload: Workload, target: Target) -> bool:
    """Whether it is a float32 ``conv2d`` with blocked maps whose groups do not fill whole blocks."""
    if workload.op != "conv2d" or workload.dtypes != {FLOAT32} or workload.attr("groups") == 1:
        return False
    lanes = target.lanes(FLOAT32)
    if not workload.inputs[0].block == workload.output.block == lanes:
        return False
    shape = shape_of(workload)
    return bool(shape.group_in % lanes or shape.out_channels // shape.groups % lanes)


def _unit(workload: Workload) -> int:
    return Windows.of(workload, 1).unit


def _sizes(workload: Workload, units: int, channels: int) -> Shape:
    """The convolution as one group of `units` that has `channels` outputs."""
    unit = _unit(workload)
    return replace(shape_of(workload), groups=1, in_channels=units * unit, out_channels=channels, block=unit)


def _panels(workload: Workload, target: Target, vectors: int) -> Counter[tuple[int, int]]:
    """How many tiles have so many vectors and units."""
    return Counter(_each_panel(workload, target, vectors))


def _each_panel(workload: Workload, target: Target, vectors: int) -> Iterator[tuple[int, int]]:
    lanes = target.lanes(FLOAT32)
    windows = Windows.of(workload, vectors * lanes)
    for tile in range(windows.tiles):
        left = math.ceil((windows.channels - tile * windows.width) / lanes)
        yield min(vectors, left), int(windows.count(tile))
