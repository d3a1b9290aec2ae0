"""Depthwise convolution: every channel has its own kernel; a vector is a block of channels of one pixel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.depthwise.depthwise_tile import (
    ENOUGH_PIXELS,
    DepthwiseTile,
    map_cycles,
    pack_depthwise,
    packed_depthwise,
    window_size,
)
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.operands import Epilogue, Operand, Pixel, declared
from tvmopt.schedules.llvm.parts.register_tile import useful_sizes
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload


class DepthwiseConv2d:
    """The template; workload: data, weight (constant, C×1×KH×KW), then operands of the epilogue."""

    name = "depthwise_conv2d"
    version = 2

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32, data and output blocked by the vector."""
        if workload.op != "depthwise_conv2d" or workload.dtypes != {FLOAT32}:
            return False
        return workload.inputs[0].block == target.lanes(FLOAT32) == workload.output.block

    def flops(self, workload: Workload) -> int:
        """Floating-point operations, a multiply-add as two."""
        return 2 * workload.output.elements * math.prod(workload.inputs[1].shape[2:])

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Tile of rows × columns, whether the kernel's rows are unrolled, and whether data is prefetched."""
        rows, columns = workload.output.shape[2:]

        def allowed(config: Config) -> bool:
            return config["rows"] * config["columns"] <= target.registers - 4

        return ConfigSpace(
            (
                Knob("rows", useful_sizes(rows, 8, (2, 3, 4))),
                Knob("columns", useful_sizes(columns, 16, (2, 4, 6, 7, 8))),
                Knob("unroll_rows", (0, 1)),
                Knob("data_ahead", (0, 1)),
            ),
            allowed,
            leading=2,
        )

    def default(self, workload: Workload, target: Target) -> Config:
        """The tile with the fewest estimated cycles."""
        ahead = self._data_ahead(workload, target)
        space = self.space(workload, target).fixed({"unroll_rows": 0, "data_ahead": int(ahead)})
        configs = [config for config in space if config["rows"] * config["columns"] <= ENOUGH_PIXELS]
        return min(configs, key=lambda config: self.cycles(workload, target, config))

    def _data_ahead(self, workload: Workload, target: Target) -> bool:
        """Whether a map comes from beyond the cache; with a stride, each result takes twice as many bytes of it."""
        return bool(workload.attr("strides")[0] > 1 and workload.inputs[0].nbytes > target.l2_bytes)

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles on one core: a tile loads its window once and stores its pixels."""
        n, channels, height, width = workload.output.shape
        cycles = map_cycles(workload, (height, width), (config["rows"], config["columns"]))
        return cycles * n * math.ceil(channels / target.lanes(FLOAT32))

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Estimated cycles, pixels of the tile, window elements per pixel, parallel tasks, tail share."""
        n, channels, height, width = workload.output.shape
        rows, columns = config["rows"], config["columns"]
        window = window_size(workload, (rows, columns))
        tasks = n * math.ceil(channels / target.lanes(FLOAT32)) * math.ceil(height / rows)
        return (
            math.log2(self.cycles(workload, target, config)),
            float(rows * columns),
            window / (rows * columns),
            math.log2(tasks),
            width / (math.ceil(width / columns) * columns),
        )

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """The weights: one flat row."""
        return {1: packed_depthwise(workload, target.lanes(FLOAT32))}

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights C×1×KH×KW → flat ``(C/lanes, KH, KW, lanes)``; absent channels are zeros."""
        return pack_depthwise(array, target.lanes(FLOAT32))

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        return DepthwiseNest(workload, target, config, DepthwiseTile).function()


class DepthwiseNest:
    """Writes the loop nest of one workload under one config.

    Args:
        workload: data, weight, then operands of the epilogue.
        target: the machine to generate code for.
        config: the template's knobs.
        tiles: makes what writes its tiles, of workload, data, weight and lanes.
        weight: as the tiles read them; by default as `pack_depthwise` packs them.
    """

    def __init__(
        self,
        workload: Workload,
        target: Target,
        config: Config,
        tiles: Callable[[Workload, Operand, Operand, int], DepthwiseTile],
        weight: Operand | None = None,
    ) -> None:
        packed = packed_depthwise(workload, target.lanes(FLOAT32))
        self.workload, self.target, self.config = workload, target, config
        self.inputs = [Operand(tensor, f"operand{i}") for i, tensor in enumerate(workload.inputs)]
        self.inputs[1] = weight or Operand(Tensor(packed, workload.inputs[1].dtype), "weight")
        self.result = Operand(workload.output, "output")
        self.epilogue = Epilogue(workload, self.inputs, self.result, target)
        self.tiles = tiles(workload, self.inputs[0], self.inputs[1], target.lanes(FLOAT32))

    def function(self) -> Any:
        """The PrimFunc."""
        n, channels, height, width = self.workload.output.shape
        blocks = math.ceil(channels / self.target.lanes(FLOAT32))
        units, columns = Cut.of(height, self.config["rows"]), Cut.of(width, self.config["columns"])

        def task(index: Index) -> Stmt:
            image, index = divmod_index(index, blocks * units.pieces)
            block, unit = divmod_index(index, units.pieces)

            def some(first: Index, rows: int) -> Stmt:
                line = columns.each(lambda column, count: self._tile(image, block, first, column, (rows, count)))
                return emit.seq([*self.epilogue.zero_halo(image, block, first, rows), line])

            return units.piece(unit, some)

        body = emit.parallel(n * blocks * units.pieces, task)
        operands = [*self.inputs, self.result]
        return emit.kernel([x.parameter for x in operands], declared(operands, body), self.target.threads)

    def _tile(self, image: Index, block: Index, row: Index, column: Index, size: tuple[int, int]) -> Stmt:
        def store(results: list[tuple[emit.Expr, int, int]]) -> list[Stmt]:
            placed = [(value, Pixel(image, block, row + i, column + j)) for value, i, j in results]
            if not self.epilogue.packs:
                return self.epilogue.store_all(placed, self.target.lanes(FLOAT32))
            runs = (placed[first : first + size[1]] for first in range(0, len(placed), size[1]))
            return self.epilogue.store_runs(runs, self.target.lanes(FLOAT32))

        at = Pixel(image, block, row, column)
        ahead = self.tiles.ahead(at, size) if self.config["data_ahead"] else []
        return emit.seq([*ahead, self.tiles.write(at, size, bool(self.config["unroll_rows"]), store)])
