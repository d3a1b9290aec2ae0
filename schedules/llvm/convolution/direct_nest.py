"""The loop nest of direct blocked convolution.

Data is ``(N, IC/b, H, W, b)`` with a halo that covers the padding, weights are packed as
``(group, channel tile, IC/b, KH, KW, b, vectors × lanes)`` in one flat array, and the output is blocked by the vector
width. A tile of rows × columns × vectors stays in registers for the whole reduction. A 1×1 kernel without stride or
halos treats rows and columns as one row, so that small maps have no tails.

If the weights of a tile's channels exceed the cache, the reduction is cut into chunks of input channels: the whole map
is multiplied with the weights of one chunk before those of the next are read. Between chunks the output holds the sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tvmopt.schedules.dtypes import FLOAT32, dtype_of
from tvmopt.schedules.llvm.convolution.panel import Chunk, Factors, Panel, Place, Span, Spans, Steps
from tvmopt.schedules.llvm.convolution.shape import Shape, shape_of
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import LINE, SPREAD, Index, Share, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.operands import Epilogue, Operand, Pixel, declared
from tvmopt.schedules.llvm.parts.register_tile import Accumulators
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.llvm.parts.task_order import band_length, in_bands
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

NEXT_TILE, NEXT_BLOCK = 1, 2
"""Values of the knob `data_ahead`: what is read by the next tile, or by the same tile of the next channel block."""

PADDING = 4
"""Taps that read only padding are skipped where the padding is at least the map divided by this."""


class DirectConv2dNest:
    """Writes the loop nest of one workload under one config."""

    together = 1
    """How many neighbouring channels' steps of the reduction `products` takes at once."""

    def __init__(self, workload: Workload, target: Target, config: Config, packed: tuple[int, ...]) -> None:
        self.target = target
        self.config = config
        self.workload = workload
        self.shape = self.sizes()
        self.lanes = target.lanes(FLOAT32)
        data, weight = workload.inputs[:2]
        # The packed weights are one flat row; Tensor's own layout does not describe them.
        self.inputs = [Operand(data, "data"), Operand(Tensor(packed, weight.dtype), "weight")]
        self.inputs += [Operand(tensor, f"operand{i}") for i, tensor in enumerate(workload.inputs[2:])]
        self.result = Operand(workload.output, "output")
        if self.shape.flat:
            self.inputs = [x.flattened() if len(x.tensor.shape) == 4 else x for x in self.inputs]
            self.result = self.result.flattened()
        self.epilogue = Epilogue(workload, self.inputs, self.result, target)
        self.blocks = math.ceil(self.shape.out_channels // self.shape.groups / self.lanes)

    def sizes(self) -> Shape:
        """The convolution's sizes as the loops run over them."""
        return shape_of(self.workload)

    def function(self) -> Any:
        """The PrimFunc."""
        body = declared([*self.inputs, self.result], self._tasks())
        parameters = [operand.parameter for operand in (*self.inputs, self.result)]
        return emit.kernel(parameters, body, self.target.threads)

    def _tasks(self) -> Stmt:
        shape, config = self.shape, self.config
        cut = Cut.of(shape.columns, config["columns"]) if shape.one_row else Cut.of(shape.rows, config["rows"])
        tiles, whole_tiles = math.ceil(self.blocks / config["vectors"]), self.blocks // config["vectors"]
        # With chunks a task is the whole map: all of it is multiplied with one chunk's weights at a time.
        units = 1 if config["depth"] else cut.pieces
        whole = Chunk(0, *divmod(shape.group_in, shape.block), whole=True, last=True)
        band = band_length(config["band"], units, self.target.threads)

        def task(index: Index) -> Stmt:
            image, index = divmod_index(index, units * tiles * shape.groups)
            unit, tile = in_bands(index, units, tiles * shape.groups, band)
            group, tile = divmod_index(tile, tiles)

            def with_tile(last_tile: bool) -> Stmt:
                vectors = self.blocks - whole_tiles * config["vectors"] if last_tile else config["vectors"]
                kernel, offset, facts = self.window(group)
                panel = Panel(image, group, tile, vectors, (divmod_index(unit, band)[1], band), kernel, offset)
                if config["depth"]:
                    return emit.seq([*facts, self._chunks(panel, cut)])
                return emit.seq([*facts, cut.piece(unit, lambda first, size: self._unit(panel, first, size, whole))])

            return emit.choose(tile, whole_tiles, self.blocks % config["vectors"] != 0, with_tile)

        return emit.parallel(shape.n * units * tiles * shape.groups, task)

    def window(self, group: Index) -> tuple[tuple[Index, Index], tuple[Index, Index], list[Stmt]]:
        """A group's `kernel` and `offset`, as in `Panel`, and the statements that compute them."""
        pads, halo = self.workload.attr("pads"), self.workload.inputs[0].halo
        return self.shape.kernel, (halo[0] - pads[0], halo[1] - pads[1]), []

    def data_block(self, panel: Panel) -> Index:
        """The first of the data's channel blocks that the panel's group reads."""
        return panel.group * (self.shape.group_in // self.shape.block)

    def element(self, panel: Panel, block: Index, lane: Index) -> tuple[Index, Index]:
        """The data's channel block, and the channel in it, of a channel of the reduction."""
        return self.data_block(panel) + block, lane

    def depth(self, panel: Panel, chunk: Chunk) -> Index:
        """How many whole input channel blocks of a chunk the panel needs."""
        return chunk.blocks

    def source(self, panel: Panel, row: Index) -> tuple[Index, Index]:
        """The image that a kernel row reads, and the row of the window there."""
        return panel.image, row

    def first_block(self, panel: Panel) -> Index:
        """The output's channel block that the panel begins with."""
        return panel.group * self.blocks + panel.tile * self.config["vectors"]

    def place(self, panel: Panel, vector: int, row: Index, column: Index) -> Pixel:
        """Where in the output a vector of a tile's pixel goes."""
        return Pixel(panel.image, self.first_block(panel) + vector, row, column)

    def _chunks(self, panel: Panel, cut: Cut) -> Stmt:
        """The whole map, chunk after chunk of the reduction; the sums begin at zero."""
        blocks = self.config["depth"] // self.shape.block
        before = math.ceil(self.shape.group_in / self.config["depth"]) - 1
        left = divmod(self.shape.group_in - before * self.config["depth"], self.shape.block)

        def map_through(number: Index, last: bool) -> Stmt:
            size = left if last else (blocks, 0)
            chunk = Chunk(number * blocks, *size, whole=False, last=last)
            return cut.each(lambda row, size: self._unit(panel, row, size, chunk), "unit")

        def zeros(row: Index, column: Index) -> Stmt:
            zero = emit.splat(emit.const(0.0), self.lanes)
            at = [self.place(panel, v, row, column) for v in range(panel.vectors)]
            return emit.seq(self.result.write(zero, pixel, self.lanes) for pixel in at)

        start = emit.nest((self.shape.rows, self.shape.columns), zeros)
        sums = emit.loop(before, lambda number: map_through(number, False), "chunk")
        return emit.seq([start, sums, map_through(before, True)])

    def _unit(self, panel: Panel, first: Index, size: int, chunk: Chunk) -> Stmt:
        """`size` rows of the output from `first` on; pixels of the row when it is the only one."""
        if self.shape.one_row:
            border = [] if self.shape.flat or not chunk.last else self.border(panel, 0, 1, (first, size))
            return emit.seq([*border, self._tile(panel, (0, first), (1, size), chunk)])
        cut = Cut.of(self.shape.columns, self.config["columns"])
        rows = cut.each(lambda column, columns: self._tile(panel, (first, column), (size, columns), chunk))
        if not chunk.last:
            return rows
        return emit.seq([*self.border(panel, first, size), rows])

    def border(self, panel: Panel, first: Index, rows: int, columns: tuple[Index, int] | None = None) -> list[Stmt]:
        """The zeros around some rows, or columns of the only row, of the panel's channels."""
        blocks = [self.first_block(panel) + v for v in range(panel.vectors)]
        if columns is None:
            return [part for block in blocks for part in self.epilogue.zero_halo(panel.image, block, first, rows)]
        return [part for block in blocks for part in self.epilogue.zero_ends(panel.image, block, *columns)]

    def _tile(self, panel: Panel, at: tuple[Index, Index], size: tuple[int, int], chunk: Chunk) -> Stmt:
        shape = self.shape
        pixels = _pixels(at, size)
        accumulators = self.accumulators(len(pixels), panel.vectors)
        spans, facts = self.taps(panel, at, size)
        steps = self._steps(panel, at, size, accumulators, chunk)

        def reduction(block: Index, channels: int) -> Stmt:
            ahead = self._data_ahead(panel, block, pixels, size[1])
            return emit.seq([*ahead, self._reduction(spans, steps, block, channels)])

        places = {(p, v): self.place(panel, v, *pixels[p]) for p, v in accumulators}
        if chunk.whole:
            body = self.start(panel, accumulators)
        else:
            body = [accumulators.set(p, v, self.result.vector(places[p, v], self.lanes)) for p, v in accumulators]
        body += facts
        if self.config["result_ahead"]:
            body += self._result_ahead(places, size[1])
        if chunk.blocks:
            depth = self.depth(panel, chunk)
            body.append(emit.loop(depth, lambda block: reduction(chunk.first + block, shape.block), "icb"))
        if chunk.rest:
            body.append(reduction(chunk.first + chunk.blocks, chunk.rest))
        body += self.behind(panel, accumulators, pixels)
        results = [(accumulators.value(p, v), places[p, v]) for p, v in accumulators]
        if chunk.last:
            body += self.store(results, size)
        else:
            body += [self.result.write(value, at, self.lanes) for value, at in results]
        return accumulators.run(body)

    def store(self, results: list[tuple[emit.Expr, Pixel]], size: tuple[int, int]) -> list[Stmt]:
        """Stores the epilogue of the results of a tile of `size` rows and columns at their places."""
        if not self.epilogue.packs:
            return self.epilogue.store_all(results, self.lanes)
        vectors, row = len(results) // (size[0] * size[1]), len(results) // size[0]
        firsts = [i * row + v for i in range(size[0]) for v in range(vectors)]
        runs = (results[first : first // row * row + row : vectors] for first in firsts)
        return self.epilogue.store_runs(runs, self.lanes)

    def behind(self, panel: Panel, tile: Accumulators, pixels: list[tuple[Index, Index]]) -> list[Stmt]:
        """What a tile's sums take beside the steps."""
        return []

    def _share(self, panel: Panel, at: tuple[Index, Index], size: tuple[int, int]) -> Share:
        """A tile's share of the work on one panel of weights, or on a chunk of it: its part of the pixels."""
        (row, column), (rows, columns) = at, size
        if self.config["depth"]:
            return Share(row * self.shape.columns + column * rows, rows * columns, self.shape.rows * self.shape.columns)
        unit, units = panel.unit
        if self.shape.one_row:
            return Share(unit, 1, units)
        return Share(unit * self.shape.columns + column, columns, units * self.shape.columns)

    def _result_ahead(self, places: dict[tuple[int, int], Pixel], columns: int) -> list[Stmt]:
        """Prefetches where a tile's results go, and the maps added to them, early enough to come from memory.

        Each channel block of a map is a separate stream, which the hardware prefetcher does not follow.
        """
        together = max(1, LINE * 4 // (self.lanes * dtype_of(self.result.tensor.dtype).nbytes))
        lines = [place for (p, _), place in places.items() if p % columns % together == 0 or (p + 1) % columns == 0]
        return [statement for place in lines for statement in self.epilogue.prefetch(place)]

    def _data_ahead(self, panel: Panel, block: Index, pixels: list[tuple[Index, Index]], columns: int) -> list[Stmt]:
        """Prefetches the next tile's pixels of one channel block.

        Each block's pixels are a separate stream, and there are more streams than the hardware prefetcher follows.
        """
        if self.config["data_ahead"] != NEXT_TILE:
            return []
        shape, data = self.shape, self.inputs[0].view
        block = self.data_block(panel) + block
        (top, left), together = panel.offset, max(1, LINE // shape.block)
        return [
            emit.prefetch(data, [panel.image, block, row + top, column + columns + left, 0])
            for p, (row, column) in enumerate(pixels)
            if p % columns % together == 0
        ]

    def _block_ahead(
        self, panel: Panel, at: tuple[Index, Index], size: tuple[int, int], block: Index, place: Place
    ) -> list[Stmt]:
        """Prefetches what a tile's tap reads of a channel block: in each step the line of one of the columns.

        There are at least as many steps as columns; the lines behind the tile are of no use, and do no harm.
        """
        if self.config["data_ahead"] != NEXT_BLOCK:
            return []
        shape, (kh, kw, lane) = self.shape, place
        image, kh = self.source(panel, kh)
        rows = 1 if in_one_run(self.workload, size) else size[0]
        column = (at[1] + lane * self.pixels_of_line()) * shape.stride[1] + kw * shape.dilation[1] + panel.offset[1]
        tops = [(at[0] + i) * shape.stride[0] + kh * shape.dilation[0] + panel.offset[0] for i in range(rows)]
        block = self.data_block(panel) + block
        return [emit.prefetch(self.inputs[0].view, [image, block, row, column, 0]) for row in tops]

    def pixels_of_line(self) -> int:
        """How many pixels on, of the same channel block, a step prefetches the next block: at most a cache line's."""
        return 1

    def _steps(
        self, panel: Panel, at: tuple[Index, Index], size: tuple[int, int], tile: Accumulators, chunk: Chunk
    ) -> Steps:
        shape, weight = self.shape, self.inputs[1]
        pixels, share = _pixels(at, size), self._share(panel, at, size)
        per_group = self.blocks * self.lanes * shape.reduction
        base = panel.group * per_group + panel.tile * (self.config["vectors"] * self.lanes * shape.reduction)
        width, prefetch = panel.vectors * self.lanes, self.config["prefetch"]
        kernel, offset = panel.kernel, panel.offset
        taps = kernel[0] * kernel[1]
        before = chunk.first * (taps * shape.block)
        depth = (chunk.blocks * shape.block + chunk.rest) * taps

        def one(number: Index, block: Index, tap: Place) -> tuple[list[Stmt], Factors]:
            place, (kh, kw, lane) = base + number * width, tap
            image, kh = self.source(panel, kh)
            channel = self.element(panel, block, lane)

            def pixel(p: int) -> emit.Expr:
                row = pixels[p][0] * shape.stride[0] + kh * shape.dilation[0] + offset[0]
                column = pixels[p][1] * shape.stride[1] + kw * shape.dilation[1] + offset[1]
                return self.spread([image, channel[0], row, column, channel[1]])

            def weights(v: int) -> emit.Expr:
                return emit.load(weight.view, [0, 0, 0, 0, place + v * self.lanes], self.lanes)

            ahead = emit.prefetch_row(weight.view, place, width, prefetch)
            ahead += self._block_ahead(panel, at, size, block + 1, tap)
            return ahead, (pixel, weights)

        def steps(block: Index, tap: Place, channels: int, count: int) -> Stmt:
            kh, kw, lane = tap
            first = block * (taps * shape.block) + (kh * kernel[1] + kw) * channels + lane
            body = []
            if prefetch == SPREAD:
                following = base + (before + depth) * width
                body = emit.prefetch_share(weight.view, following, share, (first - before, count, depth), width)
            each = [
                one(first + k, block, (kh, kw + k, 0) if channels == 1 else (kh, kw, lane + k)) for k in range(count)
            ]
            # Taps of a row, of a single channel, are no neighbours: what is known of these does not hold for them.
            together = 1 if channels == 1 else self.together
            for k in range(0, count, together):
                some = each[k : k + together]
                body += [statement for ahead, _ in some for statement in ahead]
                body += self.products(tile, [factors for _, factors in some])
            return emit.seq(body)

        return steps

    def spread(self, place: list[Index]) -> emit.Expr:
        """The element of the data at a place, in every lane."""
        return emit.splat(emit.load(self.inputs[0].view, place), self.lanes)

    def products(self, tile: Accumulators, taps: Sequence[Factors]) -> list[Stmt]:
        """Some steps of the reduction, `together` of them or fewer."""
        return [statement for factors in taps for statement in tile.multiply_add(*factors)]

    def accumulators(self, pixels: int, vectors: int) -> Accumulators:
        """The sums of a tile."""
        return Accumulators(pixels, vectors, self.lanes)

    def start(self, panel: Panel, accumulators: Accumulators) -> list[Stmt]:
        """Sets the sums of a tile to what they begin with."""
        return accumulators.fill(0.0)

    def taps(self, panel: Panel, at: tuple[Index, Index], size: tuple[int, int]) -> tuple[Spans, list[Stmt]]:
        """The taps that meet the map from a tile's pixels, and the statements that compute them.

        A tile narrower than the dilation has taps that read only padding, where padding is a good part of the map.
        Others are not looked for.
        """
        shape, facts = self.shape, []
        pads, extents = self.workload.attr("pads"), self.workload.inputs[0].shape[2:]
        spans: list[Span] = []
        for axis in range(2):
            taps, stride, dilation = shape.kernel[axis], shape.stride[axis], shape.dilation[axis]
            inside = PADDING * pads[axis] < extents[axis]
            if taps == 1 or inside or dilation <= (size[axis] - 1) * stride + 1:
                spans.append((0, panel.kernel[axis]))
                continue
            begin = pads[axis] - at[axis] * stride
            first, then = emit.named(
                emit.most(divmod_index(begin - (size[axis] - 1) * stride + dilation - 1, dilation)[0], 0), f"tap{axis}"
            )
            end = emit.least(divmod_index(begin + extents[axis] - 1, dilation)[0] + 1, taps)
            count, last = emit.named(emit.most(end - first, 0), f"taps{axis}")
            spans.append((first, count))
            facts += [*then, *last]
        return (spans[0], spans[1]), facts

    def _reduction(self, spans: Spans, steps: Steps, block: Index, channels: int) -> Stmt:
        """The multiply-adds over the kernel's taps in `spans` and over the `channels` of one input block."""
        kernel, unroll = self.shape.kernel, self.config["unroll"]
        if channels == 1 and spans == ((0, kernel[0]), (0, kernel[1])):
            # Plain data has few channels, nothing to unroll over: unroll along the kernel's row.
            return emit.loop(
                kernel[0],
                lambda kh: emit.split_loop(
                    kernel[1], unroll, lambda kw, count: steps(block, (kh, kw, 0), 1, count), "kw"
                ),
                "kh",
            )
        unroll = min(unroll, channels)

        def along_channels(kh: Index, kw: Index) -> Stmt:
            at = (kh + spans[0][0], kw + spans[1][0])
            return emit.split_loop(
                channels, unroll, lambda lane, count: steps(block, (*at, lane), channels, count), "ic"
            )

        return self.over_taps(spans, along_channels)

    def over_taps(self, spans: Spans, body: Callable[[Index, Index], Stmt]) -> Stmt:
        """The loops over the taps in `spans`; `body` gets the row and column, counted from the first of each span."""
        return emit.nest((spans[0][1], spans[1][1]), body, "k")


def in_one_run(workload: Workload, size: tuple[int, int]) -> bool:
    """Whether what the rows and columns of a tile read with one tap is at most a block's number of pixels in a row."""
    data, (rows, columns) = workload.inputs[0], size
    pitch = data.physical_shape[3]
    return rows == 1 or (shape_of(workload).stride == (1, 1) and (rows - 1) * pitch + columns <= data.block)


def _pixels(at: tuple[Index, Index], size: tuple[int, int]) -> list[tuple[Index, Index]]:
    """The rows and columns of a tile's pixels, row by row."""
    return [(at[0] + i, at[1] + j) for i in range(size[0]) for j in range(size[1])]
