"""The loop nest of a depthwise convolution and the 1×1 convolution after it.

A task is some rows of the output of one image. It computes these rows of the depthwise map, all channel blocks, into a
scratch buffer ``(C/lanes, rows × columns, lanes)``, and multiplies that with the pointwise weights, packed as
``(output channel tile, C, vectors × lanes)``. If the output has no halo, its rows are contiguous and treated as one, so
that tiles of pixels continue from row to row.
"""

from __future__ import annotations

import math
from typing import Any

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.depthwise.depthwise_tile import DepthwiseTile
from tvmopt.schedules.llvm.depthwise.pair import pair_operands
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.operands import Epilogue, Operand, Pixel, declared, evaluated, flattens
from tvmopt.schedules.llvm.parts.register_tile import Accumulators, over_channels
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

GAP = 16
"""Elements between channel blocks of the scratch buffer, so that their lines do not all map to one set of the cache."""
OWN = 3
"""How many inputs (data, depthwise and pointwise weights) come before the operands of both epilogues."""


def is_flat(workload: Workload) -> bool:
    """Whether rows of the output, and of the epilogues' operands, are contiguous."""
    output = workload.output
    return not any(output.halo) and all(flattens(tensor, output) for tensor in workload.inputs[OWN:])


class SeparableNest:
    """Writes the loop nest of one workload under one config.

    Args:
        workload: what to compute.
        target: the machine to generate code for.
        config: the knobs.
        packed: shapes in memory of both weights.
    """

    def __init__(self, workload: Workload, target: Target, config: Config, packed: dict[int, tuple[int, ...]]) -> None:
        self.workload, self.target, self.config = workload, target, config
        self.lanes = target.lanes(FLOAT32)
        self.inputs = pair_operands(workload, packed)
        self.weight = self.inputs[2]
        self.result = Operand(workload.output, "output")
        self.flat = is_flat(workload)
        # The depthwise part reads operands by row and column, the pointwise part by pixel.
        outer, result = self.inputs, self.result
        if self.flat:
            outer = [x.flattened() if len(x.tensor.shape) == 4 else x for x in self.inputs]
            result = self.result.flattened()
        self.views = [*self.inputs, *(x for x in outer[OWN:] if x not in self.inputs), result]
        self.epilogue = Epilogue(workload, outer, result)
        self.tiles = DepthwiseTile(workload, self.inputs[0], self.inputs[1], self.lanes)
        self.channels = workload.inputs[0].shape[1]
        self.in_blocks = math.ceil(self.channels / self.lanes)
        self.out_blocks = math.ceil(workload.output.shape[1] / self.lanes)

    def function(self) -> Any:
        """The PrimFunc."""
        n, _, height, _ = self.workload.output.shape
        units = Cut.of(height, self.config["rows"])

        def task(index: Index) -> Stmt:
            image, unit = divmod_index(index, units.pieces) if n > 1 else (0, index)
            return units.piece(unit, lambda first, rows: _Task(self, image, first, rows).statement())

        body = declared(self.views, emit.parallel(n * units.pieces, task))
        parameters = [operand.parameter for operand in (*self.inputs, self.result)]
        return emit.kernel(parameters, body, self.target.threads)


class _Task:
    """`height` rows of the output of one image, from row `first` on."""

    def __init__(self, nest: SeparableNest, image: Index, first: Index, height: int) -> None:
        self.nest, self.image, self.first, self.height = nest, image, first, height
        self.lanes, self.config = nest.lanes, nest.config
        self.width = nest.workload.output.shape[3]
        self.plane = height * self.width * self.lanes + GAP
        self.scratch = emit.local(nest.in_blocks * self.plane, "depthwise_rows")

    def statement(self) -> Stmt:
        nest = self.nest

        def border(block: Index) -> Stmt:
            return emit.seq(nest.epilogue.zero_halo(self.image, block, self.first, self.height))

        body = [emit.loop(nest.out_blocks, border, "block")] if any(nest.result.tensor.halo) else []
        return emit.allocate([self.scratch], [*body, self._depthwise(), self._pointwise()])

    def _depthwise(self) -> Stmt:
        """Computes the rows of the depthwise map into the scratch buffer."""
        nest = self.nest

        def tile(block: Index, row: Index, column: Index, size: tuple[int, int]) -> Stmt:
            at = Pixel(self.image, block, self.first + row, column)

            def one(value: Any, i: int, j: int) -> Stmt:
                here = Pixel(self.image, block, at.row + i, column + j)
                value = evaluated(nest.workload.inner, value, nest.inputs, here, self.lanes)
                place = block * self.plane + ((row + i) * self.width + column + j) * self.lanes
                return emit.store(self.scratch, value, [place], self.lanes)

            return nest.tiles.write(at, size, True, lambda results: [one(*result) for result in results])

        cut = Cut.of(self.width, self.config["columns"])

        def line(block: Index, row: Index) -> Stmt:
            return cut.each(lambda column, size: tile(block, row, column, (1, size)))

        return emit.nest((nest.in_blocks, self.height), line)

    def _pointwise(self) -> Stmt:
        """Multiplies all pixels with one tile of output channels after another."""
        nest, vectors, pixels = self.nest, self.config["vectors"], self.config["pixels"]
        whole, rest = divmod(nest.out_blocks, vectors)

        def channels(tile: Index, count: int) -> Stmt:
            if nest.flat:
                first = self.first * self.width
                cut = Cut.of(self.height * self.width, pixels)
                return cut.each(lambda at, size: self._product(tile, count, at, size, (0, first + at)))
            cut = Cut.of(self.width, pixels)

            def line(row: Index) -> Stmt:
                place, y = row * self.width, self.first + row
                return cut.each(lambda at, size: self._product(tile, count, place + at, size, (y, at)))

            return emit.loop(self.height, line, "row")

        parts = [emit.loop(whole, lambda tile: channels(tile, vectors), "tile")] if whole else []
        return emit.seq([*parts, channels(whole, rest)] if rest else parts)

    def _product(self, tile: Index, vectors: int, place: Index, pixels: int, at: tuple[Index, Index]) -> Stmt:
        """`pixels` pixels × `vectors` vectors, the first pixel at `place` of the scratch and `at` of the output."""
        nest, lanes = self.nest, self.lanes
        width = vectors * lanes
        base = tile * (nest.channels * self.config["vectors"] * lanes)
        accumulators = Accumulators(pixels, vectors, lanes)

        def step(block: Index, lane: Index) -> list[Stmt]:
            panel = base + (block * lanes + lane) * width

            def pixel(p: int) -> emit.Expr:
                return emit.splat(emit.load(self.scratch, [block * self.plane + (place + p) * lanes + lane]), lanes)

            def weights(v: int) -> emit.Expr:
                return emit.load(nest.weight.view, [0, 0, 0, 0, panel + v * lanes], lanes)

            ahead = emit.prefetch_row(nest.weight.view, panel, width, self.config["prefetch"])
            return [*ahead, *accumulators.multiply_add(pixel, weights)]

        def steps(block: Index, lane: Index, count: int) -> Stmt:
            return emit.seq(part for k in range(count) for part in step(block, lane + k))

        body = [*accumulators.fill(0.0), *over_channels(nest.channels, lanes, self.config["unroll"], steps)]
        first = tile * self.config["vectors"]
        results = [(accumulators.value(p, v), Pixel(self.image, first + v, at[0], at[1] + p)) for p, v in accumulators]
        return accumulators.run([*body, *nest.epilogue.store_all(results, lanes)])
