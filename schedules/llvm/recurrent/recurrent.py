"""Recurrences (LSTM, GRU, the plain cell) as one kernel, with the loop over time, its products and the gates inside.

An earlier matrix product has projected the input for all time steps. Each step computes the gates and the product of
the state with the recurrent weights, which is bound by reading the weights from the second-level cache. A tile is rows
of the batch × blocks of hidden units; it accumulates all gates of its units, so that they meet in registers. Directions
and rows of the batch are independent chains, which threads share. If there are too few, threads share the hidden units
instead, and wait for each other after each step.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.compute.recurrent import GATES, Shape, cell_of, shape_of
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.parts.register_tile import tile_cycles, tile_fits, useful_sizes
from tvmopt.schedules.llvm.recurrent.nest import Nest
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

PREFETCH = (0, 512)
"""How many elements ahead weights are prefetched; that does not pay where they stay in the second-level cache."""
BARRIER_CYCLES = 3000
"""Approximate cost of threads waiting for each other once."""

GATE_CYCLES = 12
"""Approximate cost of a gate's vector besides its product: its activation and its share of the new state."""


class Recurrence:
    """The template.

    Workload: projections ``(T, N, D·G·H)``, or ``(1, N, D·G·H)`` where they are the same at all steps; recurrent
    weights ``(D, G·H, H)``, constant and in ONNX's order of gates; then the operands that the attribute ``operands``
    names: ``bias`` ``(D, H)`` of GRU's new state, ``initial_h`` and ``initial_c`` ``(D, N, H)``, ``peepholes``
    ``(D, 3·H)``. Output: ``(T, D·N, H)``, the states of all steps; with the attribute ``keeps_cell`` LSTM's last cell
    follows them as one more step.
    """

    name = "recurrence"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32."""
        return workload.op == "recurrence" and workload.dtypes == {FLOAT32}

    def flops(self, workload: Workload) -> int:
        """Floating-point operations of the products, a multiply-add as two."""
        shape = shape_of(workload)
        return 2 * shape.steps * shape.batch * workload.inputs[1].elements

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Tile (rows, blocks of hidden units), unrolling, prefetching, and whether threads share hidden units."""
        shape = shape_of(workload)
        blocks = math.ceil(shape.hidden / target.lanes(FLOAT32))

        def allowed(config: Config) -> bool:
            if config["split"] and self._tiles(shape, target, config) == 1:
                return False
            return tile_fits(config["rows"], config["blocks"] * shape.gates, target)

        return ConfigSpace(
            (
                Knob("rows", useful_sizes(shape.batch, target.registers // shape.gates, (2, 3, 4, 6))),
                Knob("blocks", useful_sizes(blocks, target.registers // shape.gates, (2, 3, 4, 6, 8))),
                Knob("unroll", (1, 2, 4, 8)),
                Knob("prefetch", PREFETCH),
                Knob("split", (0, 1) if target.threads > 1 and blocks > 1 else (0,)),
            ),
            allowed,
        )

    def default(self, workload: Workload, target: Target) -> Config:
        """The config with the fewest estimated cycles."""
        configs = self.space(workload, target).fixed({"unroll": 4, "prefetch": 0})
        return min(configs, key=lambda config: (self.cycles(workload, target, config), config["blocks"]))

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles of the busiest thread."""
        shape = shape_of(workload)
        whole, rest = divmod(math.ceil(shape.hidden / target.lanes(FLOAT32)), config["blocks"])
        largest = self._tile_cycles(shape, target, config["rows"], config["blocks"])
        last = self._tile_cycles(shape, target, config["rows"], rest) if rest else 0.0
        chains = shape.directions * math.ceil(shape.batch / config["rows"])
        if config["split"]:
            tasks = chains * (whole + (rest > 0))
            waiting = BARRIER_CYCLES * len(cell_of(workload).stages)
            return shape.steps * (math.ceil(tasks / target.threads) * largest + waiting)
        return shape.steps * math.ceil(chains / target.threads) * (whole * largest + last)

    def _tile_cycles(self, shape: Shape, target: Target, rows: int, blocks: int) -> float:
        """Estimated cycles of one tile in one time step."""
        vectors = blocks * shape.gates
        weights_in_l1 = shape.gates * shape.hidden**2 * 4 < target.l1_bytes // 2
        return tile_cycles(rows, vectors, weights_in_l1, target) * shape.hidden + GATE_CYCLES * rows * vectors

    def _tiles(self, shape: Shape, target: Target, config: Config) -> int:
        return math.ceil(math.ceil(shape.hidden / target.lanes(FLOAT32)) / config["blocks"])

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Estimated cycles, accumulators, loads per multiply-add, panel footprint, tasks for the threads."""
        shape = shape_of(workload)
        vectors = config["blocks"] * shape.gates
        accumulators = config["rows"] * vectors
        chains = shape.directions * math.ceil(shape.batch / config["rows"])
        tasks = chains * (self._tiles(shape, target, config) if config["split"] else 1)
        return (
            math.log2(self.cycles(workload, target, config)),
            float(accumulators),
            (config["rows"] + vectors) / accumulators,
            math.log2(shape.hidden * vectors * target.lanes(FLOAT32) * 4),
            math.log2(tasks),
            float(tasks % target.threads),
        )

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """The recurrent weights: one flat row."""
        shape = shape_of(workload)
        width = math.ceil(shape.hidden / target.lanes(FLOAT32)) * target.lanes(FLOAT32)
        return {1: (shape.directions * shape.gates * shape.hidden * width,)}

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights ``(D, G·H, H)`` → flat ``(D, stage, tile, H, gates × blocks × lanes)``; absent units are zeros."""
        shape, order = shape_of(workload), GATES[workload.attr("kind")]
        gates = array.reshape(shape.directions, shape.gates, shape.hidden, shape.hidden)
        padded = np.pad(gates, ((0, 0), (0, 0), (0, -shape.hidden % target.lanes(FLOAT32)), (0, 0)))
        width = config["blocks"] * target.lanes(FLOAT32)
        panels = []
        for direction in padded:
            for stage in cell_of(workload).stages:
                chosen = direction[[order.index(gate) for gate in stage.gates]]
                tiles = (chosen[:, first : first + width] for first in range(0, chosen.shape[1], width))
                panels += [tile.transpose(2, 0, 1).ravel() for tile in tiles]
        return np.concatenate(panels)

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        return Nest(workload, target, config, self.packed(workload, target, config)[1]).function()
