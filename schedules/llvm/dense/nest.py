"""The loop nest of a matrix product: tiles of rows × vectors of columns, each summed up in registers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tvmopt.schedules.compute.functions import LONG_CHAINS
from tvmopt.schedules.compute.pointwise import VectorMath
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.expression import functions_of
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import SPREAD, Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.operands import Operand, declared
from tvmopt.schedules.llvm.parts.register_tile import Accumulators
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.llvm.parts.task_order import in_bands
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

SIDE_BY_SIDE = 4
"""How many vectors of a row go through a long epilogue together."""


class DenseNest:
    """Writes the loop nest of one workload under one config.

    Args:
        workload: what it computes.
        target: what it is for.
        config: its config.
        packed: shapes of packed inputs, by index.
        depth: steps of the reduction.
    """

    def __init__(
        self, workload: Workload, target: Target, config: Config, packed: dict[int, tuple[int, ...]], depth: int
    ) -> None:
        self.workload, self.target, self.config = workload, target, config
        self.lanes = target.lanes(FLOAT32)
        self.inputs = [
            Operand(Tensor(packed.get(i, tensor.shape), tensor.dtype), f"operand{i}")
            for i, tensor in enumerate(workload.inputs)
        ]
        self.result = Operand(workload.output, "output")
        self.batch, self.rows, self.columns = workload.output.shape
        self.depth = depth
        self.is_packed = 1 in packed

    def function(self) -> Any:
        """The scheduled PrimFunc."""
        config, lanes = self.config, self.lanes
        # Without packing, a vector must not read past the end of a row of the right operand.
        whole_vectors, tail = divmod(self.columns, lanes)
        vectors = whole_vectors + (tail > 0)
        step, tiles = config["vectors"], math.ceil(vectors / config["vectors"])
        cut = Cut.of(self.rows, config["rows"])
        units, block_tiles = cut.pieces, math.ceil(tiles / config["column_blocks"])

        def task(index: Index) -> Stmt:
            batch, index = divmod_index(index, units * tiles)
            block, index = divmod_index(index, units * block_tiles)
            here = emit.least(tiles - block * block_tiles, block_tiles) if tiles % block_tiles else block_tiles
            unit, tile = in_bands(index, units, here, config["rows_outer"] or units)
            tile = block * block_tiles + tile

            def with_tile(last_tile: bool) -> Stmt:
                count = vectors - (tiles - 1) * step if last_tile else step
                last = tail if last_tile else 0

                # As equal as possible: a last piece of one row would wait for the latency of the multiply-add.
                return cut.piece(unit, lambda row, rows: self._tile(batch, (unit, row, rows), tile, (count, last)))

            partial = vectors % step != 0 or tail != 0
            return emit.choose(tile, tiles - 1 if partial else tiles, partial, with_tile)

        body = emit.parallel(self.batch * units * tiles, task)
        operands = [*self.inputs, self.result]
        return emit.kernel([x.parameter for x in operands], declared(operands, body), self.target.threads)

    def _tile(self, batch: Index, at: tuple[Index, Index, int], tile: Index, width: tuple[int, int]) -> Stmt:
        """A tile of rows by vectors.

        Args:
            batch: number of the matrix.
            at: number of the piece of rows, its first row, and how many it has.
            tile: number of the panel.
            width: how many vectors, and the elements of the last one, or 0 if it is whole.
        """
        (unit, row, rows), (vectors, tail) = at, width
        lanes, right = self.lanes, self.inputs[1].view
        accumulators = self.accumulators(rows, vectors)
        panel_width = self.config["vectors"] * lanes
        first_row = batch * self.rows + row

        def step(k: Index) -> list[Stmt]:
            def data(r: int) -> emit.Expr:
                return self.spread(first_row + r, k)

            def weight(v: int) -> emit.Expr:
                if self.is_packed:
                    place = tile * (panel_width * self.depth) + k * (vectors * lanes) + v * lanes
                    return emit.load(right, [0, 0, 0, 0, place], lanes)
                place = (batch * self.depth + k) * self.columns + tile * panel_width + v * lanes
                if tail and v == vectors - 1:
                    return self._partial(right, place, tail)
                return emit.load(right, [0, 0, 0, 0, place], lanes)

            place = tile * (panel_width * self.depth) + k * (vectors * lanes)
            ahead = emit.prefetch_row(right, place, vectors * lanes, self.config["prefetch"] if self.is_packed else 0)
            return [*ahead, *self.products(accumulators, data, weight)]

        def steps(k: Index, count: int) -> Stmt:
            return emit.seq([*self._fetched(unit, tile, k, count), *(s for u in range(count) for s in step(k + u))])

        results = self._stored(accumulators, first_row, tile * panel_width, tail)
        start = self.start(accumulators, tile * panel_width)
        return accumulators.run([*start, *self.reduction(steps), *results])

    def accumulators(self, rows: int, vectors: int) -> Accumulators:
        """The sums of a tile."""
        return Accumulators(rows, vectors, self.lanes)

    def start(self, accumulators: Accumulators, column: Index) -> list[Stmt]:
        """What the sums of the columns from `column` on begin with."""
        return accumulators.fill(0.0)

    def spread(self, row: Index, k: Index) -> emit.Expr:
        """What a step multiplies the weights with, in every lane: the element `k` of a row, which is one of all."""
        return emit.splat(emit.load(self.inputs[0].view, [0, 0, 0, 0, row * self.depth + k]), self.lanes)

    def products(
        self, accumulators: Accumulators, data: Callable[[int], emit.Expr], weight: Callable[[int], emit.Expr]
    ) -> list[Stmt]:
        """A step of the reduction."""
        return accumulators.multiply_add(data, weight)

    def reduction(self, steps: Callable[[Index, int], Stmt]) -> list[Stmt]:
        """All steps, given what writes some of them."""
        return [emit.split_loop(self.depth, min(self.config["unroll"], self.depth), steps, "k")]

    def _stored(self, sums: Accumulators, row: Index, column: Index, tail: int) -> list[Stmt]:
        """Stores the epilogue of a tile, whose first element is at `row` of all matrices and `column`.

        A long epilogue has more constants than registers are free. Unrolled for all sums it would also push those out
        of their registers during the reduction. So the sums are stored first, and a loop takes row after row of them
        from the cache, some vectors side by side. They are not stored in the output: rows whose distance is a multiple
        of 4 KiB look like one place to the processor, and a row's load would wait for the results of the row before.
        """
        widths = [tail if tail and v == sums.vectors - 1 else sums.lanes for v in range(sums.vectors)]
        if not functions_of(self.workload.epilogue) & LONG_CHAINS:
            return [
                self._store(sums.value(r, v, widths[v]), row + r, column + v * sums.lanes, widths[v]) for r, v in sums
            ]

        width = sums.vectors * sums.lanes
        buffer = emit.local(sums.pixels * width, "sums", sums.dtype)

        def finish(r: Index) -> Stmt:
            together = [widths[v : v + SIDE_BY_SIDE] for v in range(0, sums.vectors, SIDE_BY_SIDE)]
            firsts = range(0, width, SIDE_BY_SIDE * sums.lanes)
            return emit.seq(
                self._store(emit.load(buffer, [r * width + first], sum(group)), row + r, column + first, sum(group))
                for first, group in zip(firsts, together, strict=True)
            )

        raw = [emit.store(buffer, sums.value(r, v), [r * width + v * sums.lanes], sums.lanes) for r, v in sums]
        return [emit.allocate([buffer], [*raw, emit.loop(sums.pixels, finish, "row")])]

    def _fetched(self, unit: Index, tile: Index, first: Index, count: int) -> list[Stmt]:
        """What `count` steps from `first` on prefetch of the next panel, each unit of rows its share."""
        if self.config["prefetch"] != SPREAD or not self.is_packed:
            return []
        units = Cut.of(self.rows, self.config["rows"]).pieces
        band = min(self.config["rows_outer"] or units, units)
        width = self.config["vectors"] * self.lanes
        share = emit.Share(divmod_index(unit, band)[1], 1, band)
        following = (tile + 1) * (width * self.depth)
        return emit.prefetch_share(self.inputs[1].view, following, share, (first, count, self.depth), width)

    def _partial(self, buffer: emit.View, place: Index, count: int) -> emit.Expr:
        from tvm import tirx

        scalars = [emit.load(buffer, [0, 0, 0, 0, place + i]) for i in range(count)]
        zeros = [emit.const(0.0)] * (self.lanes - count)
        return tirx.Shuffle(scalars + zeros, list(range(self.lanes)))

    def _store(self, value: emit.Expr, row: Index, column: Index, lanes: int) -> Stmt:
        """Stores the epilogue of `value`; rows are those of all matrices."""
        place = row * self.columns + column

        def operand(i: int) -> emit.Expr:
            tensor, view = self.inputs[i].tensor, self.inputs[i].view
            if tensor.elements == 1:
                return emit.splat(emit.load(view, [0, 0, 0, 0, 0]), lanes)
            if tensor.shape[-1] == 1 < self.columns:
                return emit.splat(emit.load(view, [0, 0, 0, 0, row]), lanes)
            per_column = tensor.elements == self.columns
            return emit.load(view, [0, 0, 0, 0, column if per_column else place], lanes)

        result = VectorMath(lanes).evaluate(self.workload.epilogue, value, operand)
        return emit.store(self.result.view, result, [0, 0, 0, 0, place], lanes)
