"""3×3 convolution without stride by Winograd's minimal filtering, fused so that intermediate results stay in L2.

A task is some rows of output tiles. It transforms their input patches, all channels, into one matrix (tiles × channels)
for each of the (m+2)² points. Then, for a few vectors of output channels at a time, it multiplies each matrix with the
point's transformed weights and transforms the products back, with the epilogue in the last step. Weights are packed as
``(channel tile, point, IC, vectors × lanes)``: each task streams them once.
"""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from tvmopt.schedules.compute.winograd import KERNEL, TILES, transforms
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.convolution.linear_maps import map_lines, shared_columns, shared_rows
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import SPREAD, Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.operands import Epilogue, Operand, Pixel, declared
from tvmopt.schedules.llvm.parts.register_tile import (
    PREFETCHED_BYTES_PER_CYCLE,
    Accumulators,
    channel_panels,
    covering,
    over_channels,
    tile_cycles,
    tile_fits,
)
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

UNROLL = 4
PREFETCH = (0, SPREAD, 512)
"""How many elements ahead weights are prefetched, or (`SPREAD`) the next point's evenly."""
LINE_CYCLES = 2.6
"""Measured cycles for one vector of a transform."""
GAP = 16
"""Elements between matrices of neighbouring points, so that their lines do not all map to one set of the cache."""


class Winograd:
    """The algorithm; workload as for direct convolution: data, weight (constant, OIHW), epilogue's operands."""

    name = "winograd"
    spreads_nan = True  # over its tile: it comes back out of sums with zeros as factors
    feature_count = 10

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32, 3×3, no stride, dilation or groups, data and output blocked by the vector."""
        if workload.op != "conv2d" or workload.dtypes != {FLOAT32} or workload.attr("groups") != 1:
            return False
        if workload.inputs[0].block != target.lanes(FLOAT32) or workload.output.block != target.lanes(FLOAT32):
            return False
        steps = (workload.attr("strides"), workload.attr("dilations"))
        return workload.inputs[1].shape[2:] == (KERNEL, KERNEL) and steps == ((1, 1), (1, 1))

    def flops(self, workload: Workload) -> int:
        """Floating-point operations of direct convolution, a multiply-add as two: the usual basis of FLOP/s."""
        return 2 * workload.output.elements * math.prod(workload.inputs[1].shape[1:])

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Output tile, rows of tiles in a task, register tile (pixels are tiles of one point), prefetching."""
        blocks = math.ceil(workload.output.shape[1] / target.lanes(FLOAT32))
        rows = max(math.ceil(workload.output.shape[2] / tile) for tile in TILES)

        def allowed(config: Config) -> bool:
            if not tile_fits(config["pixels"], config["vectors"], target):
                return False
            grid = _grid(workload, config["tile"])
            wide = config["rows"] * grid[1]
            if config["rows"] > grid[0] or (config["pixels"] > wide and config["pixels"] > 4):
                return False
            smaller = config["rows"] == 1 or wide <= 64
            return smaller and config["pixels"] * config["vectors"] >= min(target.registers // 4, wide)

        return ConfigSpace(
            (
                Knob("tile", TILES),
                Knob("rows", tuple(r for r in (1, 2, 3, 4, 5, 7, 10, 14) if r <= rows)),
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
        n, channels, _, _ = workload.inputs[0].shape
        tile, points = config["tile"], (config["tile"] + 2) ** 2
        rows, columns = _grid(workload, tile)
        lanes = target.lanes(FLOAT32)
        in_blocks, out_blocks = math.ceil(channels / lanes), math.ceil(workload.output.shape[1] / lanes)
        lines = (tile + 2) * 2 * in_blocks + (2 * tile + 2) * out_blocks
        total = rows * columns * lines * LINE_CYCLES * (tile + 2)
        streamed = points * channels * out_blocks * lanes * 4
        for size, count in covering(rows, config["rows"]):
            products = 0.0
            for pixels, times in Cut.of(size * columns, config["pixels"]).sizes():
                for vectors, tiles in covering(out_blocks, config["vectors"]):
                    step = tile_cycles(pixels, vectors, True, target)
                    products += times * tiles * points * (step * channels + 10 + 2 * pixels * vectors)
            scratch = points * size * columns * (channels + config["vectors"] * lanes) * 4
            stays = streamed + scratch < target.l2_bytes
            total += count * (products + (0 if stays else streamed / PREFETCHED_BYTES_PER_CYCLE))
            if 2 * scratch > target.l2_bytes:
                total += count * scratch / PREFETCHED_BYTES_PER_CYCLE
        total += streamed / PREFETCHED_BYTES_PER_CYCLE
        tasks = n * math.ceil(rows / config["rows"])
        return total * n * math.ceil(tasks / target.threads) * target.threads / tasks

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Estimated cycles, tile, accumulators, loads per multiply-add, scratch, weights, tasks, waste at the edges."""
        n, channels, height, width = workload.inputs[0].shape
        points = (config["tile"] + 2) ** 2
        rows, columns = _grid(workload, config["tile"])
        pixels, vectors = config["pixels"], config["vectors"]
        tasks = n * math.ceil(rows / config["rows"])
        return (
            math.log2(self.cycles(workload, target, config)),
            float(config["tile"]),
            float(pixels * vectors),
            (pixels + vectors) / (pixels * vectors),
            math.log2(points * config["rows"] * columns * channels),
            math.log2(points * channels * workload.output.shape[1]),
            float(tasks % target.threads),
            math.log2(tasks),
            height * width / (rows * columns * config["tile"] ** 2),
            config["rows"] * columns / (math.ceil(config["rows"] * columns / pixels) * pixels),
        )

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """The weights: one flat row."""
        blocks = math.ceil(workload.output.shape[1] / target.lanes(FLOAT32))
        return {1: (blocks * target.lanes(FLOAT32) * workload.inputs[0].shape[1] * (config["tile"] + 2) ** 2,)}

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights OIHW → transformed, flat ``(channel tile, point, IC, vectors × lanes)``; absent channels zeros."""
        moved = transforms(config["tile"]).transform_kernels(array)
        return channel_panels(moved, config["vectors"], target.lanes(FLOAT32))

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        return _Kernel(workload, target, config, self.packed(workload, target, config)[1]).function()


def _grid(workload: Workload, tile: int) -> tuple[int, int]:
    """Rows and columns of output tiles."""
    return math.ceil(workload.output.shape[2] / tile), math.ceil(workload.output.shape[3] / tile)


class _Kernel:
    """Writes the loop nest of one workload under one config."""

    def __init__(self, workload: Workload, target: Target, config: Config, packed: tuple[int, ...]) -> None:
        self.workload, self.target, self.config = workload, target, config
        self.lanes = target.lanes(FLOAT32)
        self.maps = transforms(config["tile"])
        self.tile, self.patch = self.maps.tile, self.maps.patch
        data, weight = workload.inputs[:2]
        self.inputs = [Operand(data, "data"), Operand(Tensor(packed, weight.dtype), "weight")]
        self.inputs += [Operand(tensor, f"operand{i}") for i, tensor in enumerate(workload.inputs[2:])]
        self.result = Operand(workload.output, "output")
        self.epilogue = Epilogue(workload, self.inputs, self.result)
        pads, halo = workload.attr("pads"), data.halo
        self.offset = (halo[0] - pads[0], halo[1] - pads[1])
        self.grid = _grid(workload, self.tile)
        self.channels = data.shape[1]
        self.in_blocks = math.ceil(self.channels / self.lanes)
        self.blocks = math.ceil(workload.output.shape[1] / self.lanes)

    def function(self) -> Any:
        step, height = self.config["rows"] * self.tile, self.workload.output.shape[2]
        units = math.ceil(height / step)

        def task(index: Index) -> Stmt:
            image, unit = divmod_index(index, units) if self.workload.output.shape[0] > 1 else (0, index)

            def with_unit(last: bool) -> Stmt:
                return _Task(self, image, unit * step, height % step if last else step).statement()

            return emit.choose(unit, height // step, height % step != 0, with_unit)

        body = emit.parallel(self.workload.output.shape[0] * units, task)
        operands = [*self.inputs, self.result]
        return emit.kernel([x.parameter for x in operands], declared(operands, body), self.target.threads)


class _Task:
    """`height` rows of the output of one image, from row `first` on."""

    def __init__(self, kernel: _Kernel, image: Index, first: Index, height: int) -> None:
        self.kernel, self.image, self.first, self.height = kernel, image, first, height
        self.lanes, self.patch, self.tile = kernel.lanes, kernel.patch, kernel.tile
        self.rows = math.ceil(height / self.tile)
        self.tiles = self.rows * kernel.grid[1]
        self.points = self.patch**2
        # One point's vectors of one channel block. Points are close together, so that the few pages that a transform
        # touches stay in the TLB.
        self.plane = self.tiles * self.lanes + GAP
        self.data = emit.local(kernel.in_blocks * self.points * self.plane, "patches")
        self.product = emit.local(kernel.config["vectors"] * self.points * self.plane, "products")
        self.lines = emit.local(self.points * self.lanes, "lines")

    def statement(self) -> Stmt:
        kernel, vectors = self.kernel, self.kernel.config["vectors"]
        whole, rest = divmod(kernel.blocks, vectors)

        def channels(tile: Index) -> Stmt:
            def some(last: bool) -> Stmt:
                count = rest if last else vectors
                return emit.seq([self._multiply(tile, count), self._finish(tile * vectors, count)])

            return emit.choose(tile, whole, rest != 0, some)

        border = [
            part
            for block in range(kernel.blocks)
            for part in kernel.epilogue.zero_halo(self.image, block, self.first, self.height)
        ]
        body = [*border, self._transform_data(), emit.loop(whole + (rest > 0), channels, "tile")]
        return emit.allocate([self.data, self.product, self.lines], body)

    def _each_tile(self, body: Any) -> Stmt:
        """`body(row, column, whether it is the last column)` for each tile; the last column has its own code."""
        columns = self.kernel.grid[1]

        def row(i: Index) -> Stmt:
            parts = [emit.loop(columns - 1, lambda j: body(i, j, False), "column")] if columns > 1 else []
            return emit.seq([*parts, body(i, columns - 1, True)])

        return emit.loop(self.rows, row, "row")

    def _transform_data(self) -> Stmt:
        """Bᵀ d B of every patch, along rows into `lines`, then along columns into the points' matrices."""
        kernel, lanes, patch = self.kernel, self.lanes, self.patch
        _, _, rows, columns, _ = kernel.inputs[0].view.shape
        last_row, last_column = int(rows) - 1, int(columns) - 1
        rule = shared_rows(kernel.maps.data, kernel.maps.pairs)

        def one(row: Index, column: Index, last: bool) -> Stmt:
            y, x = self.first + row * self.tile + kernel.offset[0], column * self.tile + kernel.offset[1]

            def block(b: Index) -> Stmt:
                def source(i: Index, j: int) -> emit.Expr:
                    # Values beyond the map end up multiplied by zero; they only have to be finite.
                    place = min(x + j, last_column) if last else x + j
                    at = [self.image, b, emit.least(y + i, last_row), place, 0]
                    return emit.load(kernel.inputs[0].view, at, lanes)

                def along(i: Index) -> Stmt:
                    return map_lines(
                        rule,
                        [source(i, j) for j in range(patch)],
                        lambda j, value: emit.store(self.lines, value, [(i * patch + j) * lanes], lanes),
                        lanes,
                    )

                tile = row * kernel.grid[1] + column

                def down(j: Index) -> Stmt:
                    return map_lines(
                        rule,
                        [emit.load(self.lines, [(i * patch + j) * lanes], lanes) for i in range(patch)],
                        lambda i, value: emit.store(
                            self.data,
                            value,
                            [(b * self.points + i * patch + j) * self.plane + tile * lanes],
                            lanes,
                        ),
                        lanes,
                    )

                return emit.seq([emit.loop(patch, along, "along"), emit.loop(patch, down, "down")])

            return emit.loop(kernel.in_blocks, block, "icb")

        return self._each_tile(one)

    def _multiply(self, tile: Index, vectors: int) -> Stmt:
        """The products of all points' matrices with the weights of one tile of output channels."""
        kernel, lanes = self.kernel, self.lanes
        weight, prefetch = kernel.inputs[1].view, kernel.config["prefetch"]
        width = vectors * lanes
        base = tile * (self.points * kernel.channels * kernel.config["vectors"] * lanes)

        def point(xi: Index) -> Stmt:
            def some(first: Index, count: int) -> Stmt:
                accumulators = Accumulators(count, vectors, lanes)

                def step(block: Index, lane: Index) -> list[Stmt]:
                    place = base + (xi * kernel.channels + block * lanes + lane) * width

                    def pixel(p: int) -> emit.Expr:
                        where = (block * self.points + xi) * self.plane + (first + p) * lanes + lane
                        return emit.splat(emit.load(self.data, [where]), lanes)

                    def weights(v: int) -> emit.Expr:
                        return emit.load(weight, [0, 0, 0, 0, place + v * lanes], lanes)

                    ahead = emit.prefetch_row(weight, place, width, prefetch)
                    return [*ahead, *accumulators.multiply_add(pixel, weights)]

                share = emit.Share(first, count, self.tiles)
                following = base + (xi + 1) * kernel.channels * width

                def several(block: Index, lane: Index, size: int) -> Stmt:
                    steps = (block * lanes + lane, size, kernel.channels)
                    ahead = emit.prefetch_share(weight, following, share, steps, width) if prefetch == SPREAD else []
                    return emit.seq([*ahead, *(s for k in range(size) for s in step(block, lane + k))])

                body = [*accumulators.fill(0.0), *over_channels(kernel.channels, lanes, UNROLL, several)]
                for p, v in accumulators:
                    where = (v * self.points + xi) * self.plane + (first + p) * lanes
                    body.append(emit.store(self.product, accumulators.value(p, v), [where], lanes))
                return accumulators.run(body)

            return Cut.of(self.tiles, kernel.config["pixels"]).each(some, "tiles")

        return emit.loop(self.points, point, "point")

    def _finish(self, block: Index, vectors: int) -> Stmt:
        """Aᵀ m A of every tile, down columns into `lines`, then along rows through the epilogue into the output."""
        kernel, lanes, patch = self.kernel, self.lanes, self.patch
        width = kernel.workload.output.shape[3]
        rule = shared_columns(kernel.maps.output, kernel.maps.pairs)

        def one(row: Index, column: Index, last: bool) -> Stmt:
            tile = row * kernel.grid[1] + column
            columns = width - (kernel.grid[1] - 1) * self.tile if last else self.tile

            def vector(v: Index) -> Stmt:
                place = v * (self.points * self.plane) + tile * lanes

                def down(j: Index) -> Stmt:
                    return map_lines(
                        rule,
                        [emit.load(self.product, [(i * patch + j) * self.plane + place], lanes) for i in range(patch)],
                        lambda i, value: emit.store(self.lines, value, [(i * patch + j) * lanes], lanes),
                        lanes,
                    )

                def along(i: Index) -> Stmt:
                    y = row * self.tile + i

                    def write(j: int, value: emit.Expr) -> Stmt:
                        at = Pixel(self.image, block + v, self.first + y, column * self.tile + j)
                        return kernel.epilogue.store(value, at, lanes)

                    values = [emit.load(self.lines, [(i * patch + j) * lanes], lanes) for j in range(patch)]
                    body = map_lines(rule, values, lambda j, x: write(j, x) if j < columns else None, lanes)
                    return body if self.height % self.tile == 0 else emit.when_below(y, self.height, body)

                return emit.seq([emit.loop(patch, down, "down"), emit.loop(self.tile, along, "along")])

            return emit.loop(vectors, vector, "vector")

        return self._each_tile(one)
