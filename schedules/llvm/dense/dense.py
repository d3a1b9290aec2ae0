"""Dense layers and batched matrix products: ``(B, M, K) × (B, K, N)``, constant weights packed in panels.

The tile is rows of the left operand × vectors of output columns. With one row (batch 1) the layer is bound by
reading the weights once, so it streams many vectors in order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.dense.nest import DenseNest
from tvmopt.schedules.llvm.parts.emit import SPREAD
from tvmopt.schedules.llvm.parts.quads import QUAD
from tvmopt.schedules.llvm.parts.register_tile import (
    channel_panels,
    covering,
    tile_cycles,
    tile_fits,
    useful_sizes,
)
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

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
        depth, total = steps_of(workload), 0.0
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
            math.log2(steps_of(workload) * config["vectors"] * target.lanes(FLOAT32) * 4),
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
        packed = self.packed(workload, target, config)
        return DenseNest(workload, target, config, packed, steps_of(workload)).function()


def steps_of(workload: Workload) -> int:
    """Steps of the reduction, each of four bytes of a row: an element of float32, or four of uint8."""
    depth = workload.inputs[0].shape[-1]
    return math.ceil(depth / QUAD) if workload.inputs[0].dtype == QUANTIZED else depth


def _order(workload: Workload, target: Target) -> dict[str, int]:
    """The knobs that decide what the cache holds: bands of rows, blocks of columns, the distance of prefetching.

    One row reads the weights as one stream, which the hardware prefetches by itself. Many rows that are short enough
    for a tile of them to stay in the first-level cache go through the panels tile by tile: then they are read once, and
    the weights come from the second-level cache, one block of columns after another if not all of them fit there; the
    first tile of rows waits for them, so there must be enough others. Other rows go through one panel after another,
    the next of which is fetched during the work on one; if not all rows stay in the second-level cache, band by band.
    """
    (batch, rows, _), depth = workload.inputs[0].shape, steps_of(workload)
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
