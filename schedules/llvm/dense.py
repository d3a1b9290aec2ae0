"""Dense layers and batched matrix products: ``(B, M, K) × (B, K, N)``, constant weights packed in panels.

The tile is rows of the left operand × vectors of output columns. With one row (batch 1) the layer is bound by
reading the weights once, so it streams many vectors in order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from tvmopt.schedules.compute.functions import LONG_CHAINS
from tvmopt.schedules.compute.pointwise import VectorMath
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.expression import functions_of
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import SPREAD, Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.operands import Operand, declared
from tvmopt.schedules.llvm.parts.register_tile import (
    Accumulators,
    channel_panels,
    covering,
    tile_cycles,
    tile_fits,
    useful_sizes,
)
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.llvm.parts.task_order import in_bands
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

PREFETCH = (0, SPREAD, 256, 512)
"""How many elements ahead weights are prefetched, or that a panel's tiles share the fetching of the next one."""
BANDS = (0, 1, 4, 16)
"""Values of the knob ``rows_outer``: how many tiles of rows go through all panels before the next do; 0 is all."""
COLUMN_BLOCKS = (1, 2, 4)
"""Into how many blocks the panels are divided; all rows go through one block before they go through the next."""

SCATTERED_BYTES_PER_CYCLE = 12
"""What rows of the left operand cost that are no longer in the first-level cache: each is a short stream; measured."""
BLOCK_SHARE = 0.6
"""How much of the second-level cache a block of columns may fill; measured with 1500 rows."""
FEW_TILES = 24
"""With fewer tiles of rows, what the first one waits for the weights of all panels costs more than it saves."""
LONG_BAND, LONG_ROWS = 16, 9
"""Tiles in a band of rows that do not stay in the first-level cache, and about how many rows such a tile has."""
SIDE_BY_SIDE = 4
"""How many vectors of a row go through a long epilogue together."""


class Dense:
    """The template.

    Workload: left ``(B, M, K)``, right ``(K, N)`` constant (attribute ``packed`` 1) or ``(B, K, N)``; the epilogue's
    operands are scalars or broadcast to ``(B, M, N)`` from ``(1, 1, N)`` or the whole shape.
    """

    name = "dense"
    version = 3

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32."""
        return workload.op == "dense" and workload.dtypes == {FLOAT32}

    def flops(self, workload: Workload) -> int:
        """Floating-point operations, a multiply-add as two."""
        return 2 * workload.output.elements * workload.inputs[0].shape[-1]

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Tile (rows, vectors), unrolling of the reduction, and which loop is outermost."""
        _, rows, columns = workload.output.shape
        vectors = math.ceil(columns / target.lanes(FLOAT32))

        def allowed(config: Config) -> bool:
            return tile_fits(config["rows"], config["vectors"], target)

        return ConfigSpace(
            (
                Knob("rows", useful_sizes(rows, target.registers - 2, (4, 6, 8, 9, 12, 14))),
                Knob("vectors", useful_sizes(vectors, 12, (1, 2, 3, 4, 6, 8))),
                Knob("unroll", (1, 2, 4, 8)),
                Knob("rows_outer", tuple(band for band in BANDS if band <= 1 or 4 * band < rows)),
                Knob("column_blocks", tuple(count for count in COLUMN_BLOCKS if count == 1 or 2 * count <= vectors)),
                Knob("prefetch", PREFETCH if workload.attr("packed") else (0,)),
            ),
            allowed,
        )

    def default(self, workload: Workload, target: Target) -> Config:
        """The tile with the fewest estimated cycles that gives every thread work, in an order that suits the cache."""
        order = _order(workload, target)
        space = self.space(workload, target)
        known = {knob.name: knob.values for knob in space.knobs}
        fixed = {name: max(value for value in known[name] if value <= order[name]) for name in order}
        configs = list(space.fixed({**fixed, "unroll": 4}))
        busy = [c for c in configs if self._tasks(workload, target, c) >= 4 * target.threads] or configs
        return min(busy, key=lambda config: (self.cycles(workload, target, config), config["vectors"]))

    def _tasks(self, workload: Workload, target: Target, config: Config) -> int:
        batch, rows, columns = workload.output.shape
        return (
            batch * Cut.of(rows, config["rows"]).pieces * math.ceil(columns / target.lanes(FLOAT32) / config["vectors"])
        )

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles on one core."""
        batch, rows, columns = workload.output.shape
        depth, total = workload.inputs[0].shape[-1], 0.0
        near = rows == 1 or (config["rows_outer"] and _is_short(depth, target))
        for height, row_count in Cut.of(rows, config["rows"]).sizes():
            scattered = 0.0 if near else height * 4 / SCATTERED_BYTES_PER_CYCLE
            for vectors, count in covering(math.ceil(columns / target.lanes(FLOAT32)), config["vectors"]):
                in_l1 = depth * vectors * target.lanes(FLOAT32) * 4 < target.l1_bytes // 2 and rows > height
                step = tile_cycles(height, vectors, in_l1, target) + scattered
                total += row_count * count * (step * depth + 8 + 2 * height * vectors)
        return total * batch

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Estimated cycles, accumulators, loads per multiply-add, panel footprint, parallel tasks."""
        accumulators = config["rows"] * config["vectors"]
        tasks = self._tasks(workload, target, config)
        return (
            math.log2(self.cycles(workload, target, config)),
            float(accumulators),
            (config["rows"] + config["vectors"]) / accumulators,
            math.log2(workload.inputs[0].shape[-1] * config["vectors"] * target.lanes(FLOAT32) * 4),
            math.log2(tasks),
            float(tasks % target.threads),
        )

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """The weights: one flat row, when they are constant."""
        if not workload.attr("packed"):
            return {}
        depth, columns = workload.inputs[1].shape
        return {1: (math.ceil(columns / target.lanes(FLOAT32)) * target.lanes(FLOAT32) * depth,)}

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights K×N → flat ``(N/(vectors × lanes), K, vectors × lanes)``; absent columns are zeros."""
        return channel_panels(array, config["vectors"], target.lanes(FLOAT32))

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        return _Kernel(workload, target, config, self.packed(workload, target, config)).function()


def _order(workload: Workload, target: Target) -> dict[str, int]:
    """The knobs that decide what the cache holds: bands of rows, blocks of columns, the distance of prefetching.

    One row reads the weights as one stream, which the hardware prefetches by itself. Many rows that are short enough
    for a tile of them to stay in the first-level cache go through the panels tile by tile: then they are read once, and
    the weights come from the second-level cache, one block of columns after another if not all of them fit there; the
    first tile of rows waits for them, so there must be enough others. Other rows go through one panel after another,
    the next of which is fetched during the work on one; if not all rows stay in the second-level cache, band by band.
    """
    batch, rows, depth = workload.inputs[0].shape
    if rows == 1:
        return {"rows_outer": 0, "column_blocks": 1, "prefetch": 0}
    room, data, weights = target.l2_bytes // 2, workload.inputs[0].nbytes // batch, workload.inputs[1].nbytes
    if _is_short(depth, target):
        blocks = next((count for count in COLUMN_BLOCKS if weights / count <= BLOCK_SHARE * target.l2_bytes), 0)
        again = math.ceil(rows / (target.registers // 2 - 2)) >= FEW_TILES
        if (data > room // 2 and weights <= room and again) or (data > room and blocks):
            return {"rows_outer": 1, "column_blocks": blocks, "prefetch": 512}
        if data > room:
            return {"rows_outer": 4, "column_blocks": 1, "prefetch": 512}
    band = LONG_BAND if data > 2 * room and LONG_BAND * LONG_ROWS * depth * 4 <= room else 0
    return {"rows_outer": band, "column_blocks": 1, "prefetch": SPREAD}


def _is_short(depth: int, target: Target) -> bool:
    """Whether a tile of rows stays in the first-level cache."""
    return depth * 4 * (target.registers // 2 - 2) <= target.l1_bytes


class _Kernel:
    """Writes the loop nest of one workload under one config."""

    def __init__(self, workload: Workload, target: Target, config: Config, packed: dict[int, tuple[int, ...]]) -> None:
        self.workload, self.target, self.config = workload, target, config
        tensors = [Tensor(packed.get(i, tensor.shape)) for i, tensor in enumerate(workload.inputs)]
        self.inputs = [Operand(tensor, f"operand{i}") for i, tensor in enumerate(tensors)]
        self.result = Operand(workload.output, "output")
        self.batch, self.rows, self.columns = workload.output.shape
        self.depth = workload.inputs[0].shape[-1]
        self.is_packed = 1 in packed

    def function(self) -> Any:
        config, lanes = self.config, self.target.lanes(FLOAT32)
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
        lanes, left, right = self.target.lanes(FLOAT32), self.inputs[0].view, self.inputs[1].view
        accumulators = Accumulators(rows, vectors, lanes)
        panel_width = self.config["vectors"] * lanes
        row_base = (batch * self.rows + row) * self.depth

        def step(k: Index) -> list[Stmt]:
            def data(r: int) -> emit.Expr:
                return emit.splat(emit.load(left, [0, 0, 0, 0, row_base + r * self.depth + k]), lanes)

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
            return [*ahead, *accumulators.multiply_add(data, weight)]

        def steps(k: Index, count: int) -> Stmt:
            return emit.seq([*self._fetched(unit, tile, k, count), *(s for u in range(count) for s in step(k + u))])

        reduction = emit.split_loop(self.depth, min(self.config["unroll"], self.depth), steps, "k")
        results = self._stored(accumulators, batch * self.rows + row, tile * panel_width, tail)
        return accumulators.run([*accumulators.fill(0.0), reduction, *results])

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

        buffer, width = emit.local(sums.pixels * sums.vectors * sums.lanes, "sums"), sums.vectors * sums.lanes

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
        width = self.config["vectors"] * self.target.lanes(FLOAT32)
        share = emit.Share(divmod_index(unit, band)[1], 1, band)
        following = (tile + 1) * (width * self.depth)
        return emit.prefetch_share(self.inputs[1].view, following, share, (first, count, self.depth), width)

    def _partial(self, buffer: emit.Buffer, place: Index, count: int) -> emit.Expr:
        from tvm import tirx

        scalars = [emit.load(buffer, [0, 0, 0, 0, place + i]) for i in range(count)]
        zeros = [emit.const(0.0)] * (self.target.lanes(FLOAT32) - count)
        return tirx.Shuffle(scalars + zeros, list(range(self.target.lanes(FLOAT32))))

    def _store(self, value: emit.Expr, row: Index, column: Index, lanes: int) -> Stmt:
        """Stores the epilogue of `value`; rows are those of all matrices."""
        place = row * self.columns + column

        def operand(i: int) -> emit.Expr:
            tensor, view = self.inputs[i].tensor, self.inputs[i].view
            if tensor.elements == 1:
                return emit.splat(emit.load(view, [0, 0, 0, 0, 0]), lanes)
            per_column = tensor.elements == self.columns
            return emit.load(view, [0, 0, 0, 0, column if per_column else place], lanes)

        result = VectorMath(lanes).evaluate(self.workload.epilogue, value, operand)
        return emit.store(self.result.view, result, [0, 0, 0, 0, place], lanes)
