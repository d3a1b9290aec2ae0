"""Direct blocked convolution, dense or grouped, with any stride and dilation; 1×1 runs as a matrix product.

Data is ``(N, IC/b, H, W, b)`` with a halo that covers the padding, weights are packed as
``(group, channel tile, IC/b, KH, KW, b, vectors × lanes)`` in one flat array, and the output is blocked by the vector
width. A tile of rows × columns × vectors stays in registers for the whole reduction. A 1×1 kernel without stride or
halos sees rows and columns as one row, so that small maps have no tails.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schedules.llvm import emit
from schedules.llvm.emit import Index, Stmt, divmod_index
from schedules.llvm.operands import Epilogue, Operand, Pixel, declared
from schedules.llvm.tile import Accumulators, covering, read_cycles, tile_cycles, tile_fits, useful_sizes
from schedules.space import Config, ConfigSpace, Knob
from schedules.target import Target
from schedules.workload import Tensor, Workload

PREFETCH = (0, 256, 512)
"""How many elements ahead weights are prefetched; they come from beyond the cache once in every run."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a convolution as the loop nest sees them (`flat`: rows and columns are one row)."""

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
    def group_vectors(self) -> tuple[int, int]:
        """Output channels of one group, and of the whole padded to vectors when there is one group."""
        return self.out_channels // self.groups, self.groups

    @property
    def reduction(self) -> int:
        """Multiply-adds for one output element."""
        return self.group_in * self.kernel[0] * self.kernel[1]


def shape_of(workload: Workload) -> Shape:
    """The loop nest's sizes of a ``conv2d`` workload."""
    data, weight, output = workload.inputs[0], workload.inputs[1], workload.output
    n, channels, rows, columns = output.shape
    kernel = (weight.shape[2], weight.shape[3])
    stride, dilation = workload.attr("strides"), workload.attr("dilations")
    flat = kernel == (1, 1) and stride == (1, 1) and not any(data.halo) and not any(output.halo)
    flat = flat and all(_flattens(tensor, output) for tensor in workload.inputs[2:])
    if flat:
        rows, columns = 1, rows * columns
    groups = workload.attr("groups")
    block = data.block
    return Shape(n, data.shape[1], channels, groups, rows, columns, kernel, stride, dilation, block, flat)


def _flattens(tensor: Tensor, output: Tensor) -> bool:
    if len(tensor.shape) != 4:
        return True
    return not any(tensor.halo) and tensor.shape[2:] in (output.shape[2:], (1, 1))


class DirectConv2d:
    """The algorithm; workload: data, weight (constant, OIHW), then operands of the epilogue."""

    name = "direct"
    feature_count = 8

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32 on a CPU, output blocked by the vector, groups that fill whole blocks."""
        if workload.op != "conv2d" or target.is_gpu or workload.output.block != target.lanes:
            return False
        if any(tensor.dtype != "float32" for tensor in (*workload.inputs, workload.output)):
            return False
        shape = shape_of(workload)
        aligned = shape.out_channels // shape.groups % target.lanes == 0 and shape.group_in % shape.block == 0
        return shape.groups == 1 or aligned

    def flops(self, workload: Workload) -> int:
        """Floating-point operations of the convolution itself, a multiply-add as two."""
        weight = workload.inputs[1].shape
        return 2 * workload.output.elements * math.prod(weight[1:])

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Tile (rows, columns, vectors), unrolling of the reduction, which loop is outermost, prefetching."""
        shape = shape_of(workload)
        vectors = self._group_blocks(shape, target)
        columns = useful_sizes(shape.columns, target.registers - 2, (4, 6, 7, 8, 12, 14))
        rows = useful_sizes(shape.rows, 4, (2, 3, 4))
        counts = [v for v in range(1, min(vectors, 6) + 1) if shape.groups == 1 or vectors % v == 0]
        tiles = [r * c * v for r in rows for c in columns for v in counts if tile_fits(r * c, v, target)]
        # Fewer accumulators than that leave the arithmetic units idle; a small map has no more to offer.
        least = min(target.registers // 4, max(tiles))

        def allowed(config: Config) -> bool:
            pixels = config["rows"] * config["columns"]
            return tile_fits(pixels, config["vectors"], target) and pixels * config["vectors"] >= least

        return ConfigSpace(
            (
                Knob("rows", rows),
                Knob("columns", columns),
                Knob("vectors", tuple(counts)),
                Knob("unroll", tuple(u for u in (1, 2, 4, 8) if u <= max(shape.block, shape.kernel[1]))),
                Knob("rows_outer", (0, 1)),
                Knob("prefetch", PREFETCH),
            ),
            allowed,
        )

    def default(self, workload: Workload, target: Target) -> Config:
        """The tile with the fewest estimated cycles."""
        space = self.space(workload, target)
        configs = [config for config in space if config["unroll"] == self._unroll(workload)]
        configs = [config for config in configs if config["prefetch"] == PREFETCH[-1]]
        best = min(configs, key=lambda config: self.cycles(workload, target, config))
        return {**best, "rows_outer": self._rows_outer(workload, target, best)}

    def _rows_outer(self, workload: Workload, target: Target, config: Config) -> int:
        """Whether reading the weights again for each row takes less time than the data again for each tile."""
        shape = shape_of(workload)
        units = math.ceil(shape.columns / config["columns"]) if shape.flat else math.ceil(shape.rows / config["rows"])
        tiles = math.ceil(self._group_blocks(shape, target) / config["vectors"])
        data, weights = workload.inputs[0].nbytes, workload.inputs[1].nbytes
        return int((units - 1) * read_cycles(weights, target) < (tiles - 1) * read_cycles(data, target))

    def _unroll(self, workload: Workload) -> int:
        shape = shape_of(workload)
        return min(4, shape.block) if shape.block > 1 else 1

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles of the whole layer on one core."""
        shape = shape_of(workload)
        total = 0.0
        for rows, row_count in covering(shape.rows, config["rows"]):
            for columns, column_count in covering(shape.columns, config["columns"]):
                for vectors, vector_count in covering(self._group_blocks(shape, target), config["vectors"]):
                    panel = shape.reduction * vectors * target.lanes * 4
                    step = tile_cycles(rows * columns, vectors, panel < target.l1_bytes // 2, target)
                    tail = 8 + 2 * rows * columns * vectors
                    total += row_count * column_count * vector_count * (step * shape.reduction + tail)
        return total * shape.n * shape.groups

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Estimated cycles, accumulators, loads per multiply-add, panel and row footprints, parallel tasks."""
        shape = shape_of(workload)
        pixels, vectors = config["rows"] * config["columns"], config["vectors"]
        panel = shape.reduction * vectors * target.lanes * 4
        tasks = shape.n * shape.groups * math.ceil(self._group_blocks(shape, target) / vectors)
        tasks *= math.ceil(shape.columns / config["columns"]) if shape.flat else math.ceil(shape.rows / config["rows"])
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
        blocks = self._group_blocks(shape, target) * shape.groups
        return {1: (blocks * target.lanes * shape.reduction,)}

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights OIHW → flat ``(group, tile, IC/b, KH, KW, b, vectors × lanes)``; absent channels are zeros."""
        shape = shape_of(workload)
        lanes, vectors, block = target.lanes, config["vectors"], shape.block
        blocks = self._group_blocks(shape, target)
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
        return _Kernel(workload, target, config, self.packed(workload, target, config)[1]).function()

    def _group_blocks(self, shape: Shape, target: Target) -> int:
        return math.ceil(shape.out_channels // shape.groups / target.lanes)


@dataclass(frozen=True, slots=True)
class _Panel:
    """The output channels of a tile: `vectors` vectors of channels of one group of one image."""

    image: Index
    group: Index
    tile: Index
    vectors: int


Step = Callable[[Index, Index, Index, Index, int], list[Stmt]]
"""One multiply-add of a tile: input channel block, row and column of the kernel, channel, channels of the block."""


class _Kernel:
    """Writes the loop nest of one workload under one config."""

    def __init__(self, workload: Workload, target: Target, config: Config, packed: tuple[int, ...]) -> None:
        self.shape = shape_of(workload)
        self.target = target
        self.config = config
        self.workload = workload
        self.lanes = target.lanes
        data, weight = workload.inputs[:2]
        # The packed weights are one flat row; Tensor's own layout does not describe them.
        self.inputs = [Operand(data, "data"), Operand(Tensor(packed, weight.dtype), "weight")]
        self.inputs += [Operand(tensor, f"operand{i}") for i, tensor in enumerate(workload.inputs[2:])]
        self.result = Operand(workload.output, "output")
        if self.shape.flat:
            self.inputs = [x.flattened() if len(x.tensor.shape) == 4 else x for x in self.inputs]
            self.result = self.result.flattened()
        self.epilogue = Epilogue(workload, self.inputs, self.result)
        pads, halo = workload.attr("pads"), data.halo
        self.offset = (halo[0] - pads[0], halo[1] - pads[1])
        self.blocks = math.ceil(self.shape.out_channels // self.shape.groups / self.lanes)

    def function(self) -> Any:
        body = declared([*self.inputs, self.result], self._tasks())
        parameters = [operand.parameter for operand in (*self.inputs, self.result)]
        return emit.kernel(parameters, body, self.target.threads)

    def _tasks(self) -> Stmt:
        shape, config = self.shape, self.config
        step = config["columns"] if shape.flat else config["rows"]
        extent = shape.columns if shape.flat else shape.rows
        units, tiles = math.ceil(extent / step), math.ceil(self.blocks / config["vectors"])
        whole_units, whole_tiles = extent // step, self.blocks // config["vectors"]

        def task(index: Index) -> Stmt:
            # Rows outermost keeps the input rows in cache, tiles outermost the weights.
            inner, outer = (tiles * shape.groups, units) if config["rows_outer"] else (units, tiles * shape.groups)
            image, index = divmod_index(index, inner * outer)
            first, second = divmod_index(index, inner)
            unit, tile = (first, second) if config["rows_outer"] else (second, first)
            group, tile = divmod_index(tile, tiles)

            def with_tile(last_tile: bool) -> Stmt:
                vectors = self.blocks - whole_tiles * config["vectors"] if last_tile else config["vectors"]

                def with_unit(last_unit: bool) -> Stmt:
                    size = extent - whole_units * step if last_unit else step
                    return self._unit(_Panel(image, group, tile, vectors), unit * step, size)

                return emit.choose(unit, whole_units, extent % step != 0, with_unit)

            return emit.choose(tile, whole_tiles, self.blocks % config["vectors"] != 0, with_tile)

        return emit.parallel(shape.n * units * tiles * shape.groups, task)

    def _first_block(self, panel: _Panel) -> Index:
        """The output's channel block that the panel begins with."""
        return panel.group * self.blocks + panel.tile * self.config["vectors"]

    def _unit(self, panel: _Panel, first: Index, size: int) -> Stmt:
        """`size` rows of the output from `first` on; pixels of the one row when the convolution is flat."""
        if self.shape.flat:
            return self._tile(panel, (0, first), (1, size))
        rows = emit.split_loop(
            self.shape.columns,
            self.config["columns"],
            lambda column, columns: self._tile(panel, (first, column), (size, columns)),
        )
        blocks = [self._first_block(panel) + v for v in range(panel.vectors)]
        border = [part for block in blocks for part in self.epilogue.zero_halo(panel.image, block, first, size)]
        return emit.seq([*border, rows])

    def _tile(self, panel: _Panel, at: tuple[Index, Index], size: tuple[int, int]) -> Stmt:
        shape = self.shape
        pixels = [(at[0] + i, at[1] + j) for i in range(size[0]) for j in range(size[1])]
        accumulators = Accumulators(len(pixels), panel.vectors, self.lanes)
        step = self._step(panel, pixels, accumulators)
        whole, rest = divmod(shape.group_in, shape.block)
        body = accumulators.fill(0.0)
        if whole:
            body.append(emit.loop(whole, lambda block: self._reduction(step, block, shape.block), "icb"))
        if rest:
            body.append(self._reduction(step, whole, rest))
        first = self._first_block(panel)
        for p, v in accumulators:
            place = Pixel(panel.image, first + v, *pixels[p])
            body.append(self.epilogue.store(accumulators.value(p, v), place, self.lanes))
        return accumulators.run(body)

    def _step(self, panel: _Panel, pixels: list[tuple[Index, Index]], accumulators: Accumulators) -> Step:
        shape, data, weight = self.shape, self.inputs[0], self.inputs[1]
        per_group = self.blocks * self.lanes * shape.reduction
        base = panel.group * per_group + panel.tile * (self.config["vectors"] * self.lanes * shape.reduction)
        width = panel.vectors * self.lanes
        group_block = panel.group * (shape.group_in // shape.block)

        def step(block: Index, kh: Index, kw: Index, lane: Index, channels: int) -> list[Stmt]:
            place = block * (shape.kernel[0] * shape.kernel[1] * shape.block)
            place = base + (place + (kh * shape.kernel[1] + kw) * channels + lane) * width

            def pixel(p: int) -> emit.Expr:
                row = pixels[p][0] * shape.stride[0] + kh * shape.dilation[0] + self.offset[0]
                column = pixels[p][1] * shape.stride[1] + kw * shape.dilation[1] + self.offset[1]
                value = emit.load(data.view, [panel.image, group_block + block, row, column, lane])
                return emit.splat(value, self.lanes)

            def weights(v: int) -> emit.Expr:
                return emit.load(weight.view, [0, 0, 0, 0, place + v * self.lanes], self.lanes)

            ahead = emit.prefetch_row(weight.view, place, width, self.config["prefetch"])
            return [*ahead, *accumulators.multiply_add(pixel, weights)]

        return step

    def _reduction(self, step: Step, block: Index, channels: int) -> Stmt:
        """The multiply-adds over the kernel and over the `channels` of one input block."""
        kernel, unroll = self.shape.kernel, self.config["unroll"]

        def along_row(kh: Index) -> Stmt:
            def several(kw: Index, count: int) -> Stmt:
                return emit.seq(s for k in range(count) for s in step(block, kh, kw + k, 0, 1))

            return emit.split_loop(kernel[1], unroll, several, "kw")

        def along_channels(kh: Index, kw: Index) -> Stmt:
            def several(lane: Index, count: int) -> Stmt:
                return emit.seq(s for k in range(count) for s in step(block, kh, kw, lane + k, channels))

            return emit.split_loop(channels, min(unroll, channels), several, "ic")

        if channels == 1:
            # Nothing to unroll over channels: plain data, few of them.
            return emit.loop(kernel[0], along_row, "kh")
        return emit.nest(kernel, along_channels, "k")
