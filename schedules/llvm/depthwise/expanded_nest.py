"""The loop nest of a 1×1 convolution and the depthwise convolution after it.

A task is some rows of the output of one image and one tile of channels. It computes the rows of the expanded map that
these rows' windows meet into a scratch buffer ``(vectors, rows × columns, lanes)`` with zeros around the map, and
convolves that. Neighbouring tasks share the data's rows and compute the same few rows of the map twice.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.depthwise.depthwise_tile import DepthwiseTile
from tvmopt.schedules.llvm.depthwise.pair import pair_operands
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.operands import Epilogue, Operand, Pixel, declared
from tvmopt.schedules.llvm.parts.register_tile import Accumulators, over_channels
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

GAP = 16
"""Elements between channel blocks of the scratch buffer, so that their lines do not all map to one set of the cache."""


def window_rows(workload: Workload, rows: int) -> int:
    """Rows of the expanded map that `rows` rows of the output meet."""
    kernel, dilation = workload.inputs[1].shape[2], workload.attr("dilations")[0]
    return int((rows - 1) * workload.attr("strides")[0] + (kernel - 1) * dilation + 1)


def padded_columns(workload: Workload) -> int:
    """Columns of the expanded map with the zeros beside it that its windows meet."""
    kernel, dilation = workload.inputs[1].shape[3], workload.attr("dilations")[1]
    reach = (workload.output.shape[3] - 1) * workload.attr("strides")[1] + (kernel - 1) * dilation + 1
    return int(max(reach, workload.attr("pads")[1] + workload.inputs[0].shape[3]))


class ExpandedNest:
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
        self.result = Operand(workload.output, "output")
        self.epilogue = Epilogue(workload, self.inputs, self.result)
        self.blocks = math.ceil(workload.output.shape[1] / self.lanes)

    def function(self) -> Any:
        """The PrimFunc."""
        n, _, height, _ = self.workload.output.shape
        units, vectors = Cut.of(height, self.config["rows"]), self.config["vectors"]
        whole, rest = divmod(self.blocks, vectors)

        def task(index: Index) -> Stmt:
            image, index = divmod_index(index, units.pieces * (whole + (rest > 0)))
            unit, tile = divmod_index(index, whole + (rest > 0))

            def some(first: Index, rows: int) -> Stmt:
                def of(last: bool) -> Stmt:
                    count = rest if last else vectors
                    return _Task(self, Pixel(image, tile * vectors, first, 0), rows, count).statement()

                return emit.choose(tile, whole, rest > 0, of)

            return units.piece(unit, some)

        operands = [*self.inputs, self.result]
        body = declared(operands, emit.parallel(n * units.pieces * (whole + (rest > 0)), task))
        return emit.kernel([operand.parameter for operand in operands], body, self.target.threads)


class _Task:
    """`rows` rows of `vectors` channel blocks of the output, from `first` on."""

    def __init__(self, nest: ExpandedNest, first: Pixel, rows: int, vectors: int) -> None:
        self.nest, self.first, self.rows, self.vectors = nest, first, rows, vectors
        self.lanes, workload = nest.lanes, nest.workload
        self.channels, self.height, self.width = workload.inputs[0].shape[1:]
        self.top, self.left = workload.attr("pads")[:2]
        self.line = padded_columns(workload)
        self.plane = window_rows(workload, rows) * self.line * self.lanes + GAP
        self.scratch = emit.local(vectors * self.plane, "expanded_rows")
        self.origin = first.row * workload.attr("strides")[0] - self.top

    def statement(self) -> Stmt:
        return emit.allocate([self.scratch], [self._expand(), self._convolve()])

    def place(self, vector: Index, row: Index, column: Index) -> Index:
        """Where a pixel of the padded rows is in the scratch buffer."""
        return vector * self.plane + (row * self.line + column) * self.lanes

    def _expand(self) -> Stmt:
        """Computes the rows of the map that the windows meet."""

        def row(number: Index) -> Stmt:
            y = self.origin + number
            inside = tirx.all(y >= 0, y < self.height)
            return tirx.IfThenElse(inside, self._row(number, y), self._zeros(number, 0, self.line))

        return emit.loop(window_rows(self.nest.workload, self.rows), row, "row")

    def _zeros(self, row: Index, column: int, count: int) -> Stmt:
        zero = emit.splat(emit.const(0.0), self.lanes)

        def one(vector: Index, i: Index) -> Stmt:
            return emit.store(self.scratch, zero, [self.place(vector, row, column + i)], self.lanes)

        return emit.nest((self.vectors, count), one)

    def _row(self, row: Index, y: Index) -> Stmt:
        after = self.line - self.left - self.width
        edges = [
            self._zeros(row, column, count)
            for column, count in ((0, self.left), (self.left + self.width, after))
            if count
        ]
        cut = Cut.of(self.width, self.nest.config["pixels"])
        return emit.seq([*edges, cut.each(lambda column, size: self._product(row, y, column, size))])

    def _product(self, row: Index, y: Index, column: Index, pixels: int) -> Stmt:
        """`pixels` pixels × all vectors of a row of the map."""
        nest, lanes, width = self.nest, self.lanes, self.vectors * self.lanes
        data, weight = nest.inputs[0], nest.inputs[2]
        top, left, _, _ = data.tensor.halo
        accumulators = Accumulators(pixels, self.vectors, lanes)
        base = self.first.block * (self.channels * lanes)

        def step(block: Index, lane: Index) -> list[Stmt]:
            def pixel(p: int) -> emit.Expr:
                at = [self.first.image, block, y + top, column + p + left, lane]
                return emit.splat(emit.load(data.view, at), lanes)

            def weights(v: int) -> emit.Expr:
                place = base + (block * lanes + lane) * width + v * lanes
                return emit.load(weight.view, [0, 0, 0, 0, place], lanes)

            return accumulators.multiply_add(pixel, weights)

        def steps(block: Index, lane: Index, count: int) -> Stmt:
            return emit.seq(part for k in range(count) for part in step(block, lane + k))

        body = [*accumulators.fill(0.0), *over_channels(self.channels, lanes, nest.config["unroll"], steps)]
        results = [
            (accumulators.value(p, v), Pixel(self.first.image, self.first.block + v, y, column + p))
            for p, v in accumulators
        ]
        inner = replace(nest.workload, epilogue=nest.workload.inner)
        epilogue = Epilogue(inner, nest.inputs, _Rows(self, row))  # type: ignore[arg-type]
        return accumulators.run([*body, *epilogue.store_all(results, lanes)])

    def _convolve(self) -> Stmt:
        """Convolves the rows of each channel block."""
        nest, lanes, tiles = self.nest, self.lanes, _Tile(self)
        columns = Cut.of(nest.workload.output.shape[3], nest.config["columns"])

        def tile(vector: Index, row: Index, column: Index, count: int) -> Stmt:
            block = self.first.block + vector

            def store(results: list[tuple[emit.Expr, int, int]]) -> list[Stmt]:
                at = Pixel(self.first.image, block, self.first.row + row, column)
                placed = [(value, at._replace(column=column + j)) for value, _, j in results]
                return nest.epilogue.store_all(placed, lanes)

            return tiles.write(Pixel(vector, block, row, column), (1, count), True, store)

        def lines(vector: Index) -> Stmt:
            first = self.first
            border = nest.epilogue.zero_halo(first.image, first.block + vector, first.row, self.rows)
            line = emit.loop(self.rows, lambda row: columns.each(lambda at, count: tile(vector, row, at, count)), "row")
            return emit.seq([*border, line])

        return emit.loop(self.vectors, lines, "vector")


class _Rows:
    """What the epilogue of the 1×1 convolution writes to: one row of the scratch buffer."""

    def __init__(self, task: _Task, row: Index) -> None:
        self.task, self.row = task, row

    def write(self, value: Any, at: Pixel, lanes: int) -> Stmt:
        task = self.task
        vector = at.block - task.first.block
        return emit.store(task.scratch, value, [task.place(vector, self.row, at.column + task.left)], lanes)


class _Tile(DepthwiseTile):
    """A tile that reads the scratch buffer; the image of its pixels is the number of the channel block there."""

    def __init__(self, task: _Task) -> None:
        nest = task.nest
        super().__init__(nest.workload, nest.inputs[0], nest.inputs[1], nest.lanes)
        self.task = task

    def _pixel(self, at: Pixel, pixel: tuple[int, int], kh: Index, kw: int) -> emit.Expr:
        y = (at.row + pixel[0]) * self.stride[0] + kh * self.dilation[0]
        x = (at.column + pixel[1]) * self.stride[1] + kw * self.dilation[1]
        return emit.load(self.task.scratch, [self.task.place(at.image, y, x)], self.lanes)
