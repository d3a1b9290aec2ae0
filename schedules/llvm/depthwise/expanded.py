"""A 1×1 convolution and the depthwise convolution after it in one kernel: the wide map between them stays in the cache.

This is the template: the tiles to choose from and their estimated cycles; `expanded_nest` writes the loops.
"""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.depthwise.depthwise_tile import ENOUGH_PIXELS, map_cycles
from tvmopt.schedules.llvm.depthwise.expanded_nest import ExpandedNest, padded_columns, window_rows
from tvmopt.schedules.llvm.depthwise.pair import pack_pair, packed_pair
from tvmopt.schedules.llvm.parts.register_tile import (
    L2_BYTES_PER_CYCLE,
    covering,
    tile_cycles,
    tile_fits,
    useful_sizes,
)
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

UNROLL = 4
"""Channels of a reduction that are unrolled, by default."""
MAX_ROWS = 16
SCRATCH_SHARE = 0.5
"""Most of the second-level cache that a task's rows of the map may take."""


class ExpandedConv2d:
    """The template.

    Workload: data, depthwise weight (constant, C×1×KH×KW), pointwise weight (constant, C×I×1×1), then the operands of
    `inner` (the 1×1 convolution's epilogue) and of `epilogue`. Attributes are the depthwise convolution's; its pads are
    of the map between the two.
    """

    name = "expanded_conv2d"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32, data and output blocked by the vector."""
        if workload.op != "expanded_conv2d" or workload.dtypes != {FLOAT32}:
            return False
        return workload.inputs[0].block == target.lanes(FLOAT32) == workload.output.block

    def flops(self, workload: Workload) -> int:
        """Floating-point operations of both convolutions, a multiply-add as two."""
        n, inputs, rows, columns = workload.inputs[0].shape
        channels, _, *kernel = workload.inputs[1].shape
        return 2 * (n * rows * columns * inputs * channels + workload.output.elements * math.prod(kernel))

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Rows of a task, the 1×1 convolution's tile, columns of a depthwise tile, unrolling of the reduction."""
        blocks = math.ceil(workload.output.shape[1] / target.lanes(FLOAT32))
        height, width = workload.output.shape[2:]

        def allowed(config: Config) -> bool:
            if not tile_fits(config["pixels"], config["vectors"], target):
                return False
            smallest = config["rows"] == config["vectors"] == 1
            scratch = _scratch_bytes(workload, target, config["rows"], config["vectors"])
            return smallest or scratch <= SCRATCH_SHARE * target.l2_bytes

        columns = workload.inputs[0].shape[3]
        return ConfigSpace(
            (
                Knob("rows", useful_sizes(height, MAX_ROWS, (2, 4, 6, 8, 12, 16))),
                Knob("pixels", useful_sizes(columns, target.registers - 2, (4, 6, 7, 8, 10, 12, 14))),
                Knob("vectors", tuple(range(1, min(blocks, 6) + 1))),
                Knob("columns", useful_sizes(width, ENOUGH_PIXELS, (4, 6, 7, 8))),
                Knob("unroll", tuple(u for u in (1, 2, 4, 8) if u <= target.lanes(FLOAT32))),
            ),
            allowed,
            leading=3,
        )

    def default(self, workload: Workload, target: Target) -> Config:
        """The config with the fewest estimated cycles."""
        space = self.space(workload, target)
        width = workload.output.shape[3]
        (sizes,) = (knob.values for knob in space.knobs if knob.name == "columns")
        columns = min(sizes, key=lambda size: map_cycles(workload, (1, width), (1, size)))
        fixed = {"columns": columns, "unroll": min(UNROLL, target.lanes(FLOAT32))}
        return min(space.fixed(fixed), key=lambda config: self.cycles(workload, target, config))

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles of the whole layer on one core."""
        n, channels, height, width = workload.output.shape
        inputs, columns = workload.inputs[0].shape[1], workload.inputs[0].shape[3]
        lanes = target.lanes(FLOAT32)
        blocks, total = math.ceil(channels / lanes), 0.0
        for rows, count in Cut.of(height, config["rows"]).sizes():
            lines = window_rows(workload, rows)
            cycles = blocks * map_cycles(workload, (rows, width), (1, config["columns"]))
            for vectors, tiles in covering(blocks, config["vectors"]):
                near = 2 * inputs * vectors * lanes * 4 < target.l1_bytes
                for pixels, times in Cut.of(columns, config["pixels"]).sizes():
                    step = tile_cycles(pixels, vectors, near, target)
                    cycles += tiles * lines * times * (step * inputs + 8 + 2 * pixels * vectors)
                # The data's rows come from the second-level cache for each tile; so does what is kept between.
                cycles += tiles * lines * columns * inputs * 4 / L2_BYTES_PER_CYCLE
                scratch = _scratch_bytes(workload, target, rows, vectors)
                if 2 * scratch > target.l1_bytes:
                    cycles += tiles * 2 * scratch / L2_BYTES_PER_CYCLE
            total += count * cycles
        tasks = n * math.ceil(height / config["rows"]) * math.ceil(blocks / config["vectors"])
        return total * n * math.ceil(tasks / target.threads) * target.threads / tasks

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Estimated cycles, tiles of both parts, loads per multiply-add, scratch, repeated rows, tasks, tails."""
        n, channels, height, width = workload.output.shape
        pixels, vectors, rows = config["pixels"], config["vectors"], config["rows"]
        blocks, columns = math.ceil(channels / target.lanes(FLOAT32)), workload.inputs[0].shape[3]
        tasks = n * math.ceil(height / rows) * math.ceil(blocks / vectors)
        return (
            math.log2(self.cycles(workload, target, config)),
            float(config["columns"]),
            float(pixels * vectors),
            (pixels + vectors) / (pixels * vectors),
            math.log2(_scratch_bytes(workload, target, rows, vectors)),
            window_rows(workload, rows) / rows,
            float(tasks % target.threads),
            math.log2(tasks),
            width / (math.ceil(width / config["columns"]) * config["columns"]),
            columns / (math.ceil(columns / pixels) * pixels),
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
        return ExpandedNest(workload, target, config, self.packed(workload, target, config)).function()


def _scratch_bytes(workload: Workload, target: Target, rows: int, vectors: int) -> int:
    """Bytes of the map's rows that a task computes."""
    return window_rows(workload, rows) * padded_columns(workload) * vectors * target.lanes(FLOAT32) * 4
