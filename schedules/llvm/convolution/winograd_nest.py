"""The loop nest of Winograd's convolution, fused so that intermediate results stay in the second-level cache.

A task is some rows of output tiles. It transforms their input patches, all channels, into one matrix (tiles × channels)
for each of the points. Then, for a few vectors of output channels at a time, it multiplies each matrix with the point's
transformed weights and transforms the products back, with the epilogue in the last step. Weights are packed as
``(channel tile, point, plane, IC, vectors × lanes)``: each task streams them once.

Over volumes, the patches of all planes of a window lie side by side, and their channels are one long reduction. A line
lies along the rows of a turned image, whose only column has no transform.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.convolution.linear_maps import Line, LinearMap, map_lines, shared_columns, shared_rows
from tvmopt.schedules.llvm.convolution.winograd_plan import Plan
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import SPREAD, Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.operands import Epilogue, Operand, Pixel, declared
from tvmopt.schedules.llvm.parts.planes import window_planes
from tvmopt.schedules.llvm.parts.register_tile import Accumulators, over_channels
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

UNROLL = 4
GAP = 16
"""Elements between matrices of neighbouring points, so that their lines do not all map to one set of the cache."""

EachTile = Callable[[Index, Index, bool], Stmt]
"""Code for a tile, given its row, its column, and whether that is the last column."""


class WinogradNest:
    """Writes the loop nest of one workload under one config.

    Patches, lines and products are of one element type in memory; what is transformed may see them as another.

    Args:
        workload: what is computed.
        plan: its plan for the config's tile.
        target: the machine to generate code for.
        config: the template's knobs.
        packed: shape of the packed weights.
    """

    element = FLOAT32

    def __init__(self, workload: Workload, plan: Plan, target: Target, config: Config, packed: tuple[int, ...]) -> None:
        self.workload, self.plan, self.target, self.config = plan.workload, plan, target, config
        self.lanes = target.lanes(FLOAT32)
        data, weight = workload.inputs[:2]
        self.inputs = [Operand(data, "data"), Operand(Tensor(packed, weight.dtype), "weight")]
        self.inputs += [Operand(tensor, f"operand{i}") for i, tensor in enumerate(workload.inputs[2:])]
        self.result = Operand(workload.output, "output")
        if plan.turned:
            self.inputs = [operand.turned() for operand in self.inputs]
            self.result = self.result.turned()
        self.epilogue = Epilogue(self.workload, self.inputs, self.result)
        halo = self.workload.inputs[0].halo
        self.offset = (halo[0] + plan.begin[0], halo[1] + plan.begin[1])
        self.channels = plan.depth // plan.planes
        self.in_blocks = math.ceil(self.channels / self.lanes)
        self.blocks = math.ceil(workload.output.shape[1] / self.lanes)
        self.into, self.back = self.lines()

    def lines(self) -> tuple[Line, Line]:
        """The vectors that the transforms of the data and of the products work on."""
        return Line(self.lanes), Line(self.lanes)

    def patch(self, pixel: Pixel) -> emit.Expr:
        """A vector of the data, whose row and column include the halo, as it is transformed."""
        return emit.load(self.inputs[0].view, [*pixel, 0], self.lanes)

    def stored(self, line: emit.Expr) -> emit.Expr:
        """A transformed vector of the data as elements in memory."""
        return line

    def loaded(self, elements: emit.Expr) -> emit.Expr:
        """The inverse of `stored`."""
        return elements

    def products(
        self, tile: Accumulators, pixel: Callable[[int], emit.Expr], weights: Callable[[int], emit.Expr]
    ) -> list[Stmt]:
        """A step of the reduction."""
        return tile.multiply_add(pixel, weights)

    def output(self, value: emit.Expr, block: Index, column: int) -> emit.Expr:
        """The result of the convolution, from what the last transform gives for a column of a tile."""
        return value

    def function(self) -> Any:
        """The PrimFunc."""
        step, height = self.config["rows"] * self.plan.rows.tile, self.workload.output.shape[2]
        units = math.ceil(height / step)

        def task(index: Index) -> Stmt:
            image, unit = divmod_index(index, units) if self.workload.output.shape[0] > 1 else (0, index)

            def with_unit(last: bool) -> Stmt:
                return _Task(self, image, unit, height % step if last else step).statement()

            return emit.choose(unit, height // step, height % step != 0, with_unit)

        body = emit.parallel(self.workload.output.shape[0] * units, task)
        operands = [*self.inputs, self.result]
        return emit.kernel([x.parameter for x in operands], declared(operands, body), self.target.threads)


class _Task:
    """`height` rows of the output of one image, the piece of it with number `unit`."""

    def __init__(self, nest: WinogradNest, image: Index, unit: Index, height: int) -> None:
        self.nest, self.image, self.unit, self.height = nest, image, unit, height
        self.lanes, self.plan = nest.lanes, nest.plan
        self.first = unit * (nest.config["rows"] * self.plan.rows.tile)
        self.rows = math.ceil(height / self.plan.rows.tile)
        self.tiles = self.rows * self.plan.grid[1]
        # One point's vectors of one channel block. Points are close together, so that the few pages that a transform
        # touches stay in the TLB.
        self.plane = self.tiles * self.lanes + GAP
        block = self.plan.points * self.plane
        self.data = emit.local(self.plan.planes * nest.in_blocks * block, "patches", nest.element)
        self.product = emit.local(nest.config["vectors"] * block, "products", nest.element)
        self.lines = emit.local(max(self.plan.rows.patch, self.plan.rows.tile) * self._width, "lines", nest.element)
        self.facts: list[Stmt] = []
        # The first plane of a window that is read, how many are, and the image that is a plane's.
        self.planes: tuple[Index, Index] = (0, 1)
        self.source: Callable[[Index], Index] = lambda plane: image
        if self.plan.planes > 1:
            window = window_planes(nest.workload, image)
            (begin, then), (count, last) = emit.named(window.first, "plane"), emit.named(window.count, "planes")
            self.planes, self.source, self.facts = (begin, count), window.image, [*then, *last]

    @property
    def _width(self) -> int:
        """Elements of `lines` for one row."""
        return self.plan.columns.points * self.lanes

    def statement(self) -> Stmt:
        nest, vectors = self.nest, self.nest.config["vectors"]
        whole, rest = divmod(nest.blocks, vectors)

        def channels(tile: Index) -> Stmt:
            def some(last: bool) -> Stmt:
                count = rest if last else vectors
                return emit.seq([self._multiply(tile, count), self._finish(tile * vectors, count)])

            return emit.choose(tile, whole, rest != 0, some)

        border = [
            part
            for block in range(nest.blocks)
            for part in nest.epilogue.zero_halo(self.image, block, self.first, self.height)
        ]
        tiles = emit.loop(whole + (rest > 0), channels, "tile")
        buffers = [self.data, self.product, *([] if self.plan.columns.alone else [self.lines])]
        return emit.allocate(buffers, [*border, *self.facts, self._transform_data(), tiles])

    def _each_tile(self, body: EachTile) -> Stmt:
        """`body` for each tile; the last column has its own code."""
        columns = self.plan.grid[1]

        def row(i: Index) -> Stmt:
            parts = [emit.loop(columns - 1, lambda j: body(i, j, False), "column")] if columns > 1 else []
            return emit.seq([*parts, body(i, columns - 1, True)])

        return emit.loop(self.rows, row, "row")

    def _transform_data(self) -> Stmt:
        """Bᵀ d B of every patch, along rows into `lines`, then along columns into the points' matrices."""
        nest, plan, lanes = self.nest, self.plan, self.lanes
        _, _, rows, columns, _ = nest.inputs[0].view.shape
        last_row, last_column = int(rows) - 1, int(columns) - 1
        along_rule = shared_rows(plan.columns.data, plan.columns.pairs)
        down_rule = shared_rows(plan.rows.data, plan.rows.pairs)

        def one(row: Index, column: Index, last: bool) -> Stmt:
            y = (self.unit * nest.config["rows"] + row) * plan.rows.step + nest.offset[0]
            x = column * plan.columns.step + nest.offset[1]
            tile = row * plan.grid[1] + column

            def block(number: Index, b: Index) -> Stmt:
                image = self.source(self.planes[0] + number)

                def source(i: Index, j: int) -> emit.Expr:
                    # Values beyond the map end up multiplied by zero; they only have to be finite.
                    place = min(x + j, last_column) if last else x + j
                    return nest.patch(Pixel(image, b, emit.least(y + i, last_row), place))

                def along(i: Index) -> Stmt:
                    values = [source(i, j) for j in range(plan.columns.patch)]
                    return map_lines(
                        along_rule, values, lambda j, value: self._keep(i, j, nest.stored(value)), nest.into
                    )

                def down(j: Index) -> Stmt:
                    alone = plan.columns.alone
                    values = [source(i, 0) if alone else nest.loaded(self._kept(i, j)) for i in range(plan.rows.patch)]

                    def store(i: int, value: emit.Expr) -> Stmt:
                        point = i * plan.columns.points + j
                        place = ((number * nest.in_blocks + b) * plan.points + point) * self.plane + tile * lanes
                        return emit.store(self.data, nest.stored(value), [place], lanes)

                    return map_lines(down_rule, values, store, nest.into)

                downs = emit.loop(plan.columns.points, down, "down")
                return downs if plan.columns.alone else emit.seq([emit.loop(plan.rows.patch, along, "along"), downs])

            def plane(number: Index) -> Stmt:
                return emit.loop(nest.in_blocks, lambda b: block(number, b), "icb")

            return emit.loop(self.planes[1], plane, "plane")

        return self._each_tile(one)

    def _keep(self, row: Index, point: Index, value: emit.Expr) -> Stmt:
        return emit.store(self.lines, value, [row * self._width + point * self.lanes], self.lanes)

    def _kept(self, row: Index, point: Index) -> emit.Expr:
        return emit.load(self.lines, [row * self._width + point * self.lanes], self.lanes)

    def _multiply(self, tile: Index, vectors: int) -> Stmt:
        """The products of all points' matrices with the weights of one tile of output channels."""
        nest, lanes, points, depth = self.nest, self.lanes, self.plan.points, self.plan.depth
        weight, prefetch = nest.inputs[1].view, nest.config["prefetch"]
        width = vectors * lanes
        base = tile * (points * depth * nest.config["vectors"] * lanes)

        def point(xi: Index) -> Stmt:
            def some(first: Index, count: int) -> Stmt:
                accumulators = Accumulators(count, vectors, lanes, nest.element)
                share = emit.Share(first, count, self.tiles)
                following = base + (xi + 1) * depth * width

                def plane(number: Index) -> Stmt:
                    before = (self.planes[0] + number) * nest.channels

                    def step(block: Index, lane: Index) -> list[Stmt]:
                        place = base + (xi * depth + before + block * lanes + lane) * width

                        def pixel(p: int) -> emit.Expr:
                            where = ((number * nest.in_blocks + block) * points + xi) * self.plane
                            return emit.splat(emit.load(self.data, [where + (first + p) * lanes + lane]), lanes)

                        def weights(v: int) -> emit.Expr:
                            return emit.load(weight, [0, 0, 0, 0, place + v * lanes], lanes)

                        ahead = emit.prefetch_row(weight, place, width, prefetch)
                        return [*ahead, *nest.products(accumulators, pixel, weights)]

                    def several(block: Index, lane: Index, size: int) -> Stmt:
                        steps = (before + block * lanes + lane, size, depth)
                        spread = prefetch == SPREAD
                        ahead = emit.prefetch_share(weight, following, share, steps, width) if spread else []
                        return emit.seq([*ahead, *(s for k in range(size) for s in step(block, lane + k))])

                    return emit.seq(over_channels(nest.channels, lanes, UNROLL, several))

                body = [*accumulators.fill(0), emit.loop(self.planes[1], plane, "plane")]
                for p, v in accumulators:
                    where = (v * points + xi) * self.plane + (first + p) * lanes
                    body.append(emit.store(self.product, accumulators.value(p, v), [where], lanes))
                return accumulators.run(body)

            return Cut.of(self.tiles, nest.config["pixels"]).each(some, "tiles")

        return emit.loop(points, point, "point")

    def _finish(self, block: Index, vectors: int) -> Stmt:
        """Aᵀ m A of every tile, down columns into `lines`, then along rows through the epilogue into the output."""
        if self.plan.columns.alone:
            return self._each_tile(lambda row, column, _: self._finish_column(block, vectors, (row, column)))
        nest, plan, lanes = self.nest, self.plan, self.lanes
        width = nest.workload.output.shape[3]
        along_rule = shared_columns(plan.columns.output, plan.columns.pairs)
        down_rule = shared_columns(plan.rows.output, plan.rows.pairs)

        def one(row: Index, column: Index, last: bool) -> Stmt:
            columns = width - (plan.grid[1] - 1) * plan.columns.tile if last else plan.columns.tile

            def vector(v: Index) -> Stmt:
                def down(j: Index) -> Stmt:
                    values = self._products(v, (row, column), j)
                    return map_lines(down_rule, values, lambda i, value: self._keep(i, j, value), nest.back)

                def along(i: Index) -> Stmt:
                    y = row * plan.rows.tile + i

                    def place(j: int) -> Pixel:
                        return Pixel(self.image, block + v, self.first + y, column * plan.columns.tile + j)

                    def write(j: int, value: emit.Expr) -> Stmt:
                        return nest.epilogue.store(nest.output(value, block + v, j), place(j), lanes)

                    values = [self._kept(i, j) for j in range(plan.columns.points)]
                    if nest.epilogue.packs:
                        body = self._store_row(along_rule, values, [place(j) for j in range(columns)])
                    else:
                        body = map_lines(
                            along_rule, values, lambda j, x: write(j, x) if j < columns else None, nest.back
                        )
                    return body if self.height % plan.rows.tile == 0 else emit.when_below(y, self.height, body)

                parts = [emit.loop(plan.columns.points, down, "down"), emit.loop(plan.rows.tile, along, "along")]
                return emit.seq(parts)

            return emit.loop(vectors, vector, "vector")

        return self._each_tile(one)

    def _store_row(self, rule: LinearMap, values: Sequence[emit.Expr], places: Sequence[Pixel]) -> Stmt:
        """The last transform of a row of a tile, whose results are neighbours in the output."""
        nest, line = self.nest, self.nest.back
        made = [emit.local(line.lanes, f"made_{j}", line.dtype) for j in range(len(places))]

        def keep(j: int, value: emit.Expr) -> Stmt | None:
            if j >= len(places):
                return None
            return emit.store(made[j], nest.output(value, places[j].block, j), [0], line.lanes)

        run = [(emit.load(buffer, [0], line.lanes), place) for buffer, place in zip(made, places, strict=True)]
        stored = nest.epilogue.store_runs([run], line.lanes)
        return emit.allocate(made, [map_lines(rule, values, keep, line), *stored])

    def _finish_column(self, block: Index, vectors: int, at: tuple[Index, Index]) -> Stmt:
        """Aᵀ m of one tile, through the epilogue into the output."""
        nest, rows, lanes = self.nest, self.plan.rows, self.lanes
        rule = shared_columns(rows.output, rows.pairs)

        def vector(v: Index) -> Stmt:
            made = [emit.local(lanes, f"made_{i}") for i in range(rows.tile)]

            def store(count: int) -> Stmt:
                places = [Pixel(self.image, block + v, self.first + at[0] * rows.tile + i, at[1]) for i in range(count)]
                results = [(emit.load(made[i], [0], lanes), place) for i, place in enumerate(places)]
                return emit.seq(nest.epilogue.store_all(results, lanes))

            whole, rest = divmod(self.height, rows.tile)
            transformed = map_lines(
                rule, self._products(v, at, 0), lambda i, value: emit.store(made[i], value, [0], lanes), nest.back
            )
            stored = emit.choose(at[0], whole, rest != 0, lambda short: store(rest if short else rows.tile))
            return emit.allocate(made, [transformed, stored])

        return emit.loop(vectors, vector, "vector")

    def _products(self, vector: Index, at: tuple[Index, Index], column: Index) -> Sequence[emit.Expr]:
        """A tile's products of one vector of channels, at the points of one column."""
        tile = at[0] * self.plan.grid[1] + at[1]
        points = (i * self.plan.columns.points + column for i in range(self.plan.rows.points))
        return [
            emit.load(self.product, [(vector * self.plan.points + i) * self.plane + tile * self.lanes], self.lanes)
            for i in points
        ]
