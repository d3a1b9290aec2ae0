"""Convolution by Winograd's minimal filtering: 3×3 over images and the planes of volumes, any kernel over lines.

This is the template: the tiles to choose from and their estimated cycles; `winograd_nest` writes the loops.
"""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.convolution.winograd_nest import WinogradNest
from tvmopt.schedules.llvm.convolution.winograd_plan import Plan, plan_of, tiles_of
from tvmopt.schedules.llvm.parts.emit import SPREAD
from tvmopt.schedules.llvm.parts.register_tile import (
    FAR_BYTES_PER_CYCLE,
    L2_BYTES_PER_CYCLE,
    PREFETCHED_BYTES_PER_CYCLE,
    channel_panels,
    covering,
    tile_cycles,
    tile_fits,
)
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

PREFETCH = (0, SPREAD, 512)
"""How many elements ahead weights are prefetched, or (`SPREAD`) the next point's evenly."""
LINE_CYCLES = 2.6
"""Measured cycles for one vector of a transform."""
PATCH_CYCLES = 12
"""Measured cycles to write and read one vector of a patch, if a single vector of outputs is made of it."""
TRANSPOSED = 1.15
"""Measured cycles over estimated ones for transposed convolutions; from 1.0 to 1.3 in seven of eight shapes."""
ROWS = (1, 2, 3, 4, 5, 7, 10, 14)
"""Rows of tiles in a task."""
LONG_ROWS = (*ROWS, 20, 28, 40, 56)
"""The same where each row is one tile: over lines."""
IMAGES = ("conv2d", "integer_conv2d")
"""Operators over images; their default tiles were chosen by measurements."""


class Winograd:
    """The algorithm; workload as for direct convolution: data, weight (constant), epilogue's operands."""

    name = "winograd"
    spreads_nan = True  # over its tile: it comes back out of sums with zeros as factors
    feature_count = 10

    def __init__(self, op: str = "conv2d") -> None:
        self.op = op

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32, no dilation or groups, data and output blocked by the vector; a window with filters."""
        if workload.op != self.op or workload.dtypes != {FLOAT32}:
            return False
        if workload.inputs[0].block != target.lanes(FLOAT32) or workload.output.block != target.lanes(FLOAT32):
            return False
        return bool(self.tiles(workload))

    def tiles(self, workload: Workload) -> tuple[int, ...]:
        """The output tiles to choose from."""
        return tiles_of(workload)

    def plan(self, workload: Workload, tile: int) -> Plan:
        """The plan for one of `tiles`."""
        return plan_of(workload, tile)

    def flops(self, workload: Workload) -> int:
        """Floating-point operations of direct convolution, a multiply-add as two: the usual basis of FLOP/s."""
        return 2 * workload.output.elements * math.prod(workload.inputs[1].shape[1:])

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Output tile, rows of tiles in a task, register tile (pixels are tiles of one point), prefetching."""
        blocks = math.ceil(workload.output.shape[1] / target.lanes(FLOAT32))
        plans = {tile: self.plan(workload, tile) for tile in self.tiles(workload)}
        rows = max(plan.grid[0] for plan in plans.values())
        long = all(plan.columns.alone for plan in plans.values())

        def allowed(config: Config) -> bool:
            if not tile_fits(config["pixels"], config["vectors"], target):
                return False
            grid = plans[config["tile"]].grid
            wide = config["rows"] * grid[1]
            if config["rows"] > grid[0] or (config["pixels"] > wide and config["pixels"] > 4):
                return False
            smaller = config["rows"] == 1 or wide <= 64
            return smaller and config["pixels"] * config["vectors"] >= min(target.registers // 4, wide)

        return ConfigSpace(
            (
                Knob("tile", tuple(plans)),
                Knob("rows", tuple(r for r in (LONG_ROWS if long else ROWS) if r <= rows)),
                Knob("pixels", tuple(p for p in (4, 5, 6, 7, 8, 9, 10, 12, 14) if p <= target.registers)),
                Knob("vectors", tuple(v for v in (1, 2, 3, 4) if v <= blocks)),
                Knob("prefetch", PREFETCH),
            ),
            allowed,
            leading=4,
        )

    def default(self, workload: Workload, target: Target) -> Config:
        """The config with the fewest estimated cycles."""
        configs = self.space(workload, target).fixed({"prefetch": SPREAD})
        return min(configs, key=lambda config: self.cycles(workload, target, config))

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles of the whole layer on one core: transforms, products, weights streamed by each task."""
        plan = self.plan(workload, config["tile"])
        n, lanes, (rows, columns) = workload.output.shape[0], target.lanes(FLOAT32), plan.grid
        out_blocks = math.ceil(workload.output.shape[1] / lanes)
        total = rows * columns * _transform_cycles(plan, lanes)
        if out_blocks == 1:
            total += rows * columns * plan.points * math.ceil(plan.depth / lanes) * PATCH_CYCLES
        streamed = plan.points * plan.depth * out_blocks * lanes * 4
        for size, count in covering(rows, config["rows"]):
            products = 0.0
            for pixels, times in Cut.of(size * columns, config["pixels"]).sizes():
                for vectors, tiles in covering(out_blocks, config["vectors"]):
                    step = tile_cycles(pixels, vectors, True, target)
                    products += times * tiles * plan.points * (step * plan.depth + 10 + 2 * pixels * vectors)
            scratch = plan.points * size * columns * (plan.depth + config["vectors"] * lanes) * 4
            stays = streamed + scratch < target.l2_bytes
            total += count * (products + (0 if stays else streamed / PREFETCHED_BYTES_PER_CYCLE))
            if plan.strided:
                # More points for each output: a task has fewer tiles to multiply with the weights that it reads.
                total += count * streamed / L2_BYTES_PER_CYCLE
            if 2 * scratch > target.l2_bytes:
                total += count * scratch / PREFETCHED_BYTES_PER_CYCLE
            # Each tile of channels reads the patches again; the tiles for images were chosen by measurements. Along a
            # line, weights stream beside the patches all the time.
            leaves = 2 * scratch > target.l2_bytes if plan.turned else scratch > target.l2_bytes
            if leaves and (plan.turned or self.op not in IMAGES):
                passes = math.ceil(out_blocks / config["vectors"])
                patches = plan.points * size * columns * plan.depth * 4
                total += count * passes * patches / PREFETCHED_BYTES_PER_CYCLE
        ahead = self.op in IMAGES and not plan.strided
        total += streamed / (PREFETCHED_BYTES_PER_CYCLE if ahead else FAR_BYTES_PER_CYCLE)
        if self.op == "transposed_conv2d":
            total *= TRANSPOSED
        tasks = n * math.ceil(rows / config["rows"])
        return total * n * math.ceil(tasks / target.threads) * target.threads / tasks

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Estimated cycles, tile, accumulators, loads per multiply-add, scratch, weights, tasks, waste at the edges."""
        plan = self.plan(workload, config["tile"])
        n, (height, width), (rows, columns) = workload.output.shape[0], plan.workload.output.shape[2:], plan.grid
        pixels, vectors = config["pixels"], config["vectors"]
        tasks = n * math.ceil(rows / config["rows"])
        return (
            math.log2(self.cycles(workload, target, config)),
            float(config["tile"]),
            float(pixels * vectors),
            (pixels + vectors) / (pixels * vectors),
            math.log2(plan.points * config["rows"] * columns * plan.depth),
            math.log2(plan.points * plan.depth * workload.output.shape[1]),
            float(tasks % target.threads),
            math.log2(tasks),
            height * width / (rows * columns * plan.rows.tile * plan.columns.tile),
            config["rows"] * columns / (math.ceil(config["rows"] * columns / pixels) * pixels),
        )

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """The weights: one flat row."""
        plan, lanes = self.plan(workload, config["tile"]), target.lanes(FLOAT32)
        return {1: (math.ceil(workload.output.shape[1] / lanes) * lanes * plan.depth * plan.points,)}

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights → transformed, flat ``(channel tile, point, plane, IC, vectors × lanes)``; absent channels zeros."""
        moved = self.plan(workload, config["tile"]).transformed(array)
        return channel_panels(moved, config["vectors"], target.lanes(FLOAT32))

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        plan = self.plan(workload, config["tile"])
        return WinogradNest(workload, plan, target, config, self.packed(workload, target, config)[1]).function()


def _transform_cycles(plan: Plan, lanes: int) -> float:
    """Estimated cycles of the transforms of one tile, to the points and back."""
    inputs, output = plan.depth // plan.planes, plan.workload.output.shape[1]
    in_blocks, out_blocks = plan.planes * math.ceil(inputs / lanes), math.ceil(output / lanes)
    down, along = plan.rows.points * LINE_CYCLES, plan.columns.points * LINE_CYCLES
    if plan.columns.alone:
        return (in_blocks + out_blocks) * down
    back = plan.columns.points * down + plan.rows.tile * along
    return in_blocks * (plan.rows.patch * along + plan.columns.points * down) + out_blocks * back
