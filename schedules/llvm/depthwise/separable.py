"""A depthwise convolution and the 1×1 convolution after it in one kernel: the map between them stays in the cache.

This is the template: the tiles to choose from and their estimated cycles; `separable_nest` writes the loops.
"""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.depthwise.depthwise_tile import ENOUGH_PIXELS, map_cycles
from tvmopt.schedules.llvm.depthwise.pair import pack_pair, packed_pair
from tvmopt.schedules.llvm.depthwise.separable_nest import SeparableNest, is_flat
from tvmopt.schedules.llvm.parts.register_tile import (
    L2_BYTES_PER_CYCLE,
    PREFETCHED_BYTES_PER_CYCLE,
    covering,
    tile_cycles,
    tile_fits,
    useful_sizes,
)
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

PREFETCH = (0, 512)
"""How many elements ahead the pointwise weights are prefetched."""
UNROLL = 4
"""Channels of a reduction that are unrolled, by default."""
MAX_ROWS = 16


class SeparableConv2d:
    """The template.

    Workload: data, depthwise weight (constant, C×1×KH×KW), pointwise weight (constant, O×C×1×1), then the operands of
    `inner` (the depthwise convolution's epilogue) and of `epilogue`. Attributes are the depthwise convolution's.
    """

    name = "separable_conv2d"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32, data and output blocked by the vector."""
        if workload.op != "separable_conv2d" or workload.dtypes != {FLOAT32}:
            return False
        return workload.inputs[0].block == target.lanes(FLOAT32) == workload.output.block

    def flops(self, workload: Workload) -> int:
        """Floating-point operations of both convolutions, a multiply-add as two."""
        outputs = workload.output.shape[1]
        pixels = workload.output.elements // outputs
        channels, _, *kernel = workload.inputs[1].shape
        return 2 * pixels * channels * (math.prod(kernel) + outputs)

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Rows of a task, columns of a depthwise tile, pointwise tile, unrolling and prefetching of its reduction."""
        _, channels, height, width = workload.output.shape
        blocks = math.ceil(channels / target.lanes(FLOAT32))
        flat = is_flat(workload)
        pixels = useful_sizes(height * width if flat else width, target.registers - 2, (4, 6, 7, 8, 12, 14))
        vectors = tuple(v for v in range(1, min(blocks, 6) + 1))
        # Fewer accumulators leave the arithmetic units idle; a small map may not have more.
        tiles = (p * v for p in pixels for v in vectors if tile_fits(p, v, target) and (p <= width or not flat))
        least = min(target.registers // 4, max(tiles))

        def allowed(config: Config) -> bool:
            if config["rows"] > 1 and 2 * _scratch_bytes(workload, config["rows"]) > target.l2_bytes:
                return False
            if not tile_fits(config["pixels"], config["vectors"], target):
                return False
            if flat and config["pixels"] > config["rows"] * width:
                return False
            return config["pixels"] * config["vectors"] >= least

        return ConfigSpace(
            (
                Knob("rows", useful_sizes(height, MAX_ROWS, (2, 3, 4, 6, 8, 12))),
                Knob("columns", useful_sizes(width, ENOUGH_PIXELS, (4, 6, 7, 8))),
                Knob("pixels", pixels),
                Knob("vectors", vectors),
                Knob("unroll", tuple(u for u in (1, 2, 4, 8) if u <= target.lanes(FLOAT32))),
                Knob("prefetch", PREFETCH),
            ),
            allowed,
            leading=4,
        )

    def default(self, workload: Workload, target: Target) -> Config:
        """The config with the fewest estimated cycles."""
        space = self.space(workload, target)
        width = workload.output.shape[3]
        (sizes,) = (knob.values for knob in space.knobs if knob.name == "columns")
        columns = min(sizes, key=lambda size: map_cycles(workload, (1, width), (1, size)))
        fixed = {"columns": columns, "unroll": min(UNROLL, target.lanes(FLOAT32)), "prefetch": PREFETCH[0]}
        best = min(space.fixed(fixed), key=lambda config: self.cycles(workload, target, config))
        # A panel that stays in L1 comes from further away only once a task, for the first of many tiles of pixels.
        stays = 2 * _panel_bytes(workload, target, best["vectors"]) < target.l1_bytes
        return best if stays else {**best, "prefetch": PREFETCH[-1]}

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles of the whole layer on one core."""
        n, outputs, height, width = workload.output.shape
        channels = workload.inputs[0].shape[1]
        in_blocks, out_blocks = math.ceil(channels / target.lanes(FLOAT32)), math.ceil(outputs / target.lanes(FLOAT32))
        panel = _panel_bytes(workload, target, config["vectors"])
        weights = channels * out_blocks * target.lanes(FLOAT32) * 4
        tiles = math.ceil(out_blocks / config["vectors"])
        total = 0.0
        for rows, count in Cut.of(height, config["rows"]).sizes():
            cycles = in_blocks * map_cycles(workload, (rows, width), (1, config["columns"]))
            lines = (rows * width, 1) if is_flat(workload) else (width, rows)
            for pixels, times in Cut.of(lines[0], config["pixels"]).sizes():
                for vectors, panels in covering(out_blocks, config["vectors"]):
                    step = tile_cycles(pixels, vectors, 2 * panel < target.l1_bytes, target)
                    cycles += lines[1] * times * panels * (step * channels + 8 + 2 * pixels * vectors)
            scratch = _scratch_bytes(workload, rows)
            if 2 * scratch > target.l1_bytes:
                cycles += (tiles + 1) * scratch / L2_BYTES_PER_CYCLE
            near = 2 * (weights + scratch) <= target.l2_bytes
            cycles += weights / (L2_BYTES_PER_CYCLE if near else PREFETCHED_BYTES_PER_CYCLE)
            total += count * (cycles + self._overlap_bytes(workload) / L2_BYTES_PER_CYCLE)
        tasks = n * math.ceil(height / config["rows"])
        return total * n * math.ceil(tasks / target.threads) * target.threads / tasks

    def _overlap_bytes(self, workload: Workload) -> int:
        """Bytes of the data that neighbouring tasks both read."""
        kernel, strides = workload.inputs[1].shape[2:], workload.attr("strides")
        rows = max(0, (kernel[0] - 1) * workload.attr("dilations")[0] + 1 - strides[0])
        data = workload.inputs[0]
        lines = data.shape[0] * data.shape[2]
        return data.nbytes // lines * int(rows)

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Estimated cycles, tiles of both parts, loads per multiply-add, scratch and panel, tasks, tails."""
        n, _, height, width = workload.output.shape
        pixels, vectors = config["pixels"], config["vectors"]
        tasks = n * math.ceil(height / config["rows"])
        line = config["rows"] * width if is_flat(workload) else width
        return (
            math.log2(self.cycles(workload, target, config)),
            float(config["columns"]),
            float(pixels * vectors),
            (pixels + vectors) / (pixels * vectors),
            math.log2(_scratch_bytes(workload, config["rows"])),
            math.log2(_panel_bytes(workload, target, vectors)),
            float(tasks % target.threads),
            math.log2(tasks),
            width / (math.ceil(width / config["columns"]) * config["columns"]),
            line / (math.ceil(line / pixels) * pixels),
        )

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """Both weights: one flat row each."""
        return packed_pair(workload, target.lanes(FLOAT32))

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Both weights, as `pack_pair` says."""
        return pack_pair(index, array, config["vectors"], target.lanes(FLOAT32))

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        return SeparableNest(workload, target, config, self.packed(workload, target, config)).function()


def _scratch_bytes(workload: Workload, rows: int) -> int:
    """Bytes of `rows` rows of the depthwise map."""
    return rows * workload.output.shape[3] * workload.inputs[0].shape[1] * 4


def _panel_bytes(workload: Workload, target: Target, vectors: int) -> int:
    """Bytes of the pointwise weights of `vectors` vectors of output channels."""
    return workload.inputs[0].shape[1] * vectors * target.lanes(FLOAT32) * 4
