"""Direct blocked convolution, dense or grouped, with any stride and dilation; 1×1 runs as a matrix product.

This is the template: the tiles to choose from and their estimated cycles; `direct_nest` writes the loops.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.convolution.direct_nest import NEXT_BLOCK, NEXT_TILE, DirectConv2dNest, in_one_run
from tvmopt.schedules.llvm.convolution.shape import Shape, shape_of
from tvmopt.schedules.llvm.parts.emit import LINE, SPREAD
from tvmopt.schedules.llvm.parts.register_tile import (
    FAR_BYTES_PER_CYCLE,
    FMA_LATENCY,
    FMA_PER_CYCLE,
    L2_BYTES_PER_CYCLE,
    PREFETCHED_BYTES_PER_CYCLE,
    covering,
    tile_cycles,
    tile_fits,
    useful_sizes,
)
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.llvm.parts.task_order import WHOLE, band_length, useful_bands
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

DEPTH = 128
DEPTHS = (64, DEPTH, 256)
"""Input channels of a chunk of the reduction; the last chunk may have fewer."""

COLUMNS = (3, 4, 5, 6, 7, 8, 10, 12, 14)
"""Columns of a tile that are tried besides those that divide the map."""

PREFETCH = (0, SPREAD, 256, 512)
"""How many elements ahead weights are prefetched, or (`SPREAD`) the next panel's evenly; weights come from beyond the
cache once in every run."""

FEW_TAPS = 5
"""With at most this many taps, each step of the reduction reads other data, which comes from the second-level cache."""

SHORT_REDUCTION = 600
"""With at most this many multiply-adds for an output element, the cost of writing the output shows."""

SHORT_PLAIN_REDUCTION = 64
"""The same for plain data, where the output does not fit the second-level cache."""

PLAIN_VECTORS = 4
"""Most vectors for plain data, whose pixels are on separate cache lines: better few pixels for many channels."""

FEW_CHANNELS = 256
"""With at most this many input channels, reading the data takes about as long as the arithmetic."""

SHORT_TILE = 192
"""With at most this many, fetching the next tile's data is as good as fetching the next block's."""

LOAD_CYCLES = 0.5
"""What a load of a tile's step costs beside the arithmetic with vectors that fill a cache line; measured."""

STREAMED = 1 / 8
"""The share of the time to read weights from the second-level cache that is not hidden there; measured."""


class DirectConv2d:
    """The algorithm; workload: data, weight (constant, OIHW), then operands of the epilogue."""

    name = "direct"
    spreads_nan = False
    feature_count = 8
    stays = 4
    """Weights are not prefetched if they take at most one part in so many of the second-level cache."""

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32, output blocked by the vector, groups that fill whole blocks."""
        if workload.op != "conv2d" or workload.dtypes != {FLOAT32}:
            return False
        if workload.output.block != target.lanes(FLOAT32):
            return False
        shape = shape_of(workload)
        aligned = shape.out_channels // shape.groups % target.lanes(FLOAT32) == 0 and shape.group_in % shape.block == 0
        return shape.groups == 1 or aligned

    def flops(self, workload: Workload) -> int:
        """Floating-point operations of the convolution itself, a multiply-add as two."""
        weight = workload.inputs[1].shape
        return 2 * workload.output.elements * math.prod(weight[1:])

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Tile (rows, columns, vectors), unrolling of the reduction, order of the loops, prefetching."""
        shape = shape_of(workload)
        vectors = group_blocks(shape, target)
        columns = useful_sizes(shape.columns, target.registers - 2, COLUMNS)
        rows = useful_sizes(shape.rows, 4, (2, 3, 4))
        counts = [v for v in range(1, min(vectors, 6) + 1) if shape.groups == 1 or vectors % v == 0]
        tiles = [r * c * v for r in rows for c in columns for v in counts if tile_fits(r * c, v, target)]
        units = max(1, shape.columns if shape.one_row else shape.rows)
        # Fewer accumulators leave the arithmetic units idle; a small map may not have more.
        least = min(target.registers // 4, max(tiles))

        def allowed(config: Config) -> bool:
            pixels = config["rows"] * config["columns"]
            if config["band"] != WHOLE and config["depth"]:
                return False
            return tile_fits(pixels, config["vectors"], target) and pixels * config["vectors"] >= least

        return ConfigSpace(
            (
                Knob("rows", rows),
                Knob("columns", columns),
                Knob("vectors", tuple(counts)),
                Knob("band", useful_bands(units, target.threads)),
                Knob("depth", self._depths(shape, target, workload)),
                Knob("unroll", tuple(u for u in (1, 2, 4, 8) if u <= max(shape.block, shape.kernel[1]))),
                Knob("prefetch", PREFETCH),
                Knob("data_ahead", _ahead_choices(shape)),
                Knob("result_ahead", (0, 1)),
            ),
            allowed,
            leading=5,
        )

    def default(self, workload: Workload, target: Target) -> Config:
        """The tile with the fewest estimated cycles."""
        space = self.space(workload, target)
        shape = shape_of(workload)
        fixed = {
            "band": WHOLE,
            "depth": 0,
            "unroll": self._unroll(workload),
            "prefetch": self._prefetch(workload, target),
            "result_ahead": int(self._waits_for_writing(workload, target)),
        }
        configs = list(space.fixed({**fixed, "data_ahead": 0}))
        if shape.block == 1:
            # LLVM unrolls the kernel's row and holds what its taps share: a larger tile would leave no registers.
            half = [config for config in configs if _accumulators(config) <= target.registers // 2]
            configs = half or configs
            widest = max(config["vectors"] for config in configs if config["vectors"] <= PLAIN_VECTORS)
            configs = [config for config in configs if config["vectors"] == widest]
        best = min(configs, key=lambda config: self.cycles(workload, target, config))
        depth = self._depth(workload, target, best)
        if depth:
            return {**best, "depth": depth, "prefetch": SPREAD, "data_ahead": _data_ahead(workload, best)}
        if shape.kernel == (1, 1) and shape.block == LINE == target.lanes(FLOAT32) and not fixed["prefetch"]:
            # The weights stay in the cache: a tile need not have many pixels for each of them. Larger kernels compete
            # with other algorithms by `cycles`.
            best = min(configs, key=lambda config: _loading_cycles(shape, target, config))
        bands = next(knob.values for knob in space.knobs if knob.name == "band")
        band = min(bands, key=lambda band: self._moving(workload, target, best, band))
        return {**best, "band": band, "data_ahead": _data_ahead(workload, best)}

    def _depths(self, shape: Shape, target: Target, workload: Workload) -> tuple[int, ...]:
        """Chunks of input channels worth trying: none (0) where the weights of two vectors fit the nearest cache."""
        if _panel_bytes(shape, target, 2) < 2 * target.l1_bytes or (shape.groups > 1 and shape.group_in % shape.block):
            return (0,)
        return (0, *(d for d in DEPTHS if d < shape.group_in and d % shape.block == 0))

    def _depth(self, workload: Workload, target: Target, config: Config) -> int:
        """Input channels of a chunk, 0 for none.

        There are chunks where a panel of weights fills much of the cache, a chunk of data fits it, and all threads get
        tasks; and where neither the weights nor the data of a tile stay in the nearest cache.
        """
        shape = shape_of(workload)
        depths = self._depths(shape, target, workload)
        panel = _panel_bytes(shape, target, config["vectors"])
        data = workload.inputs[0].nbytes // workload.inputs[0].shape[1] * DEPTH
        tiles = _panels(shape, target, config["vectors"])
        if DEPTH not in depths or data > target.l2_bytes or tiles < 2 * target.threads:
            return 0
        fills = 8 * panel >= target.l2_bytes and shape.group_in % DEPTH == 0
        streams = math.prod(shape.kernel) > 1 and self._tile_bytes(workload, config) > target.l1_bytes
        return DEPTH if fills or streams else 0

    def _tile_bytes(self, workload: Workload, config: Config) -> int:
        """Bytes of the data that a tile reads, all input channels."""
        shape = shape_of(workload)
        sides = ((config[name] - 1) * step for name, step in zip(("rows", "columns"), shape.stride, strict=True))
        window = (
            side + 1 + (taps - 1) * gap for side, taps, gap in zip(sides, shape.kernel, shape.dilation, strict=True)
        )
        return math.prod(window) * shape.group_in * 4

    def _prefetch(self, workload: Workload, target: Target) -> int:
        """0 if weights stay in cache; evenly for few taps, whose data does not hide that weights come from afar."""
        if workload.inputs[1].nbytes <= target.l2_bytes // self.stays:
            return 0
        # A next panel that fills the cache would be gone again before it is read.
        shape = shape_of(workload)
        stays = _panel_bytes(shape, target, PLAIN_VECTORS) <= target.l2_bytes // 2
        return SPREAD if math.prod(shape.kernel) <= FEW_TAPS and stays else PREFETCH[-1]

    def _waits_for_writing(self, workload: Workload, target: Target) -> bool:
        """Whether a tile's results are written faster than their lines come: then they are prefetched."""
        shape = shape_of(workload)
        if shape.block > 1:
            return shape.reduction <= SHORT_REDUCTION
        return shape.reduction <= SHORT_PLAIN_REDUCTION and workload.output.nbytes > target.l2_bytes

    def _moving(self, workload: Workload, target: Target, config: Config, band: int) -> float:
        """Estimated cycles to re-read weights for each band, and a band's data for each tile of channels."""
        shape = shape_of(workload)
        units = self._units(shape, config)
        band = band_length(band, units, target.threads)
        bands, tiles = math.ceil(units / band), math.ceil(group_blocks(shape, target) / config["vectors"])
        data, weights = workload.inputs[0].nbytes // shape.groups, workload.inputs[1].nbytes // shape.groups
        near = 2 * weights <= target.l2_bytes
        again = (bands - 1) * weights / (L2_BYTES_PER_CYCLE if near else PREFETCHED_BYTES_PER_CYCLE)
        stays = 2 * (data // bands + weights // tiles) <= target.l2_bytes
        return again + (tiles - 1) * data / (L2_BYTES_PER_CYCLE if stays else FAR_BYTES_PER_CYCLE)

    def _units(self, shape: Shape, config: Config) -> int:
        """How many pieces the pixels are cut into."""
        extent, step = (shape.columns, config["columns"]) if shape.one_row else (shape.rows, config["rows"])
        return Cut.of(extent, step).pieces

    def _unroll(self, workload: Workload) -> int:
        shape = shape_of(workload)
        return min(4, shape.block) if shape.block > 1 else 1

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles of the whole layer on one core."""
        return layer_cycles(shape_of(workload), target, config["rows"], config["columns"], config["vectors"])

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Estimated cycles, accumulators, loads per multiply-add, panel and row footprints, parallel tasks."""
        shape = shape_of(workload)
        pixels, vectors = config["rows"] * config["columns"], config["vectors"]
        panel = _panel_bytes(shape, target, vectors)
        # With chunks of input channels a task is a whole map.
        tasks = _panels(shape, target, vectors) * (1 if config["depth"] else self._units(shape, config))
        return (
            math.log2(self.cycles(workload, target, config)),
            float(pixels * vectors),
            (pixels + vectors) / (pixels * vectors),
            math.log2(panel),
            math.log2(shape.reduction * pixels * 4),
            float(tasks % target.threads),
            math.log2(tasks),
            shape.columns / (math.ceil(shape.columns / config["columns"]) * config["columns"]),
        )

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """Which inputs are stored differently from their tensor's layout, and with what shape."""
        shape = shape_of(workload)
        blocks = group_blocks(shape, target) * shape.groups
        return {1: (blocks * target.lanes(FLOAT32) * shape.reduction,)}

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights OIHW → flat ``(group, tile, IC/b, KH, KW, b, vectors × lanes)``; absent channels are zeros."""
        shape = shape_of(workload)
        lanes, vectors, block = target.lanes(FLOAT32), config["vectors"], shape.block
        blocks = group_blocks(shape, target)
        out_channels = shape.out_channels // shape.groups
        parts = []
        for group in array.reshape(shape.groups, out_channels, shape.group_in, *shape.kernel):
            padded = np.zeros((blocks * lanes, *group.shape[1:]), array.dtype)
            padded[:out_channels] = group
            for first in range(0, blocks, vectors):
                tile = padded[first * lanes : (first + vectors) * lanes]
                panels = (tile[:, channel : channel + block] for channel in range(0, shape.group_in, block))
                parts += [panel.transpose(2, 3, 1, 0).ravel() for panel in panels]
        return np.concatenate(parts)

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        return DirectConv2dNest(workload, target, config, self.packed(workload, target, config)[1]).function()


def _ahead_choices(shape: Shape) -> tuple[int, ...]:
    """Values of `data_ahead`: what a window of many taps reads is mostly in the nearest cache already."""
    if shape.block == 1 or math.prod(shape.kernel) > FEW_TAPS:
        return (0,)
    return (0, NEXT_TILE, NEXT_BLOCK) if shape.pointwise else (0, NEXT_BLOCK)


def _data_ahead(workload: Workload, config: Config) -> int:
    """What to prefetch: the next block where one prefetch for each step of the reduction is enough for it."""
    shape = shape_of(workload)
    if NEXT_BLOCK not in _ahead_choices(shape):
        return 0
    run = in_one_run(workload, (config["rows"], config["columns"]))
    if shape.pointwise and shape.group_in <= (SHORT_TILE if run else FEW_CHANNELS):
        return NEXT_TILE
    return NEXT_BLOCK if run else 0


def group_blocks(shape: Shape, target: Target) -> int:
    """Blocks of output channels of one group."""
    return math.ceil(shape.out_channels // shape.groups / target.lanes(FLOAT32))


def _panels(shape: Shape, target: Target, vectors: int) -> int:
    """Tiles of output channels, of all groups and images."""
    return shape.n * shape.groups * math.ceil(group_blocks(shape, target) / vectors)


def _accumulators(config: Config) -> int:
    return config["rows"] * config["columns"] * config["vectors"]


def _panel_bytes(shape: Shape, target: Target, vectors: int) -> int:
    """Bytes of the weights of one tile of output channels."""
    return shape.reduction * vectors * target.lanes(FLOAT32) * 4


@lru_cache(maxsize=4096)
def layer_cycles(shape: Shape, target: Target, rows: int, columns: int, vectors: int) -> float:
    """The estimate for a tile, cached: the other knobs do not affect it, and each tile has a hundred configs."""

    def step(pixels: int, depth: int, in_l1: bool) -> float:
        return tile_cycles(pixels, depth, in_l1, target)

    return _summed(shape, target, (rows, columns, vectors), step)


def _loading_cycles(shape: Shape, target: Target, config: Config) -> float:
    """What tiles are compared by where weights stay in the cache: loads are not free beside the arithmetic.

    On another scale than `layer_cycles`, by which algorithms are compared.
    """

    def step(pixels: int, depth: int, in_l1: bool) -> float:
        far = 0.0 if in_l1 else depth * target.vector_bits // 8 / L2_BYTES_PER_CYCLE * STREAMED
        return max(pixels * depth / FMA_PER_CYCLE, FMA_LATENCY) + (pixels + depth) * LOAD_CYCLES + far

    return _summed(shape, target, (config["rows"], config["columns"], config["vectors"]), step)


def _summed(shape: Shape, target: Target, tile: tuple[int, int, int], step: Callable[[int, int, bool], float]) -> float:
    """The cycles of a layer, given those of a step of a tile: its pixels, its vectors, whether its weights fit L1."""
    total, (rows, columns, vectors) = 0.0, tile
    for height, height_count in Cut.of(shape.rows, rows).sizes():
        for width, width_count in Cut.of(shape.columns, columns).sizes():
            for depth, depth_count in covering(group_blocks(shape, target), vectors):
                in_l1 = _panel_bytes(shape, target, depth) < target.l1_bytes // 2
                tail = 8 + 2 * height * width * depth
                cycles = step(height * width, depth, in_l1) * shape.reduction + tail
                total += height_count * width_count * depth_count * cycles
    return total * shape.n * shape.groups
