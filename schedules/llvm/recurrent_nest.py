"""The loop nest of a recurrence under one config; `schedules.llvm.recurrent` is the template."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from schedules.compute.pointwise import VectorMath
from schedules.compute.recurrent import GATES, Stage, cell_of, operands_of, shape_of
from schedules.llvm import emit
from schedules.llvm.emit import Buffer, Expr, Index, Stmt, divmod_index
from schedules.llvm.operands import Operand, declared
from schedules.llvm.tile import Accumulators
from schedules.space import Config
from schedules.target import Target
from schedules.workload import Tensor, Workload


@dataclass(frozen=True, slots=True)
class _Step:
    """A time step in the chain's own direction.

    Attributes:
        now: its number.
        before: the number of the step before; None at the first.
    """

    now: Index
    before: Index | None


@dataclass(frozen=True, slots=True)
class _Tile:
    """What is computed at once: rows of the batch in one direction × hidden units.

    Attributes:
        direction: 0, or 1 for the second of two.
        row: the first row.
        rows: how many.
        index: the number of the tile of hidden units.
        blocks: how many vectors of hidden units.
        tail: elements of the last vector, 0 when it is full.
    """

    direction: Index
    row: Index
    rows: int
    index: Index
    blocks: int
    tail: int


@dataclass(frozen=True, slots=True)
class _Vector:
    """A vector of hidden units of one row of the batch, at a time step."""

    step: _Step
    direction: Index
    row: Index
    unit: Index
    width: int


class Nest:
    """Writes the loop nest of one workload under one config.

    Args:
        workload: a ``recurrence``.
        target: for which code is generated.
        config: the template's knobs.
        packed: shape of the packed weights.
    """

    def __init__(self, workload: Workload, target: Target, config: Config, packed: tuple[int, ...]) -> None:
        self.target, self.config, self.lanes = target, config, target.lanes
        self.shape, self.cell = shape_of(workload), cell_of(workload)
        self.order, self.way = GATES[workload.attr("kind")], workload.attr("direction")
        tensors = [workload.inputs[0], Tensor(packed), *workload.inputs[2:]]
        names = ("projections", "weights", *operands_of(workload))
        self.inputs = {name: Operand(tensor, name) for name, tensor in zip(names, tensors, strict=True)}
        self.result = Operand(workload.output, "output")
        self.blocks = math.ceil(self.shape.hidden / self.lanes)
        self.tiles = math.ceil(self.blocks / config["blocks"])
        self.units = math.ceil(self.shape.batch / config["rows"])
        size = self.shape.directions * self.shape.batch * self.shape.hidden
        in_output = {"c"} if workload.attr("keeps_cell") else set()
        self.memory = {name: emit.local(size, name) for name in self.cell.memory if name not in in_output}

    def function(self) -> Any:
        """The PrimFunc: inputs (weights packed), then the output."""
        operands = [*self.inputs.values(), self.result]
        body = self._shared_units() if self.config["split"] else self._shared_chains()
        if self.memory:
            body = emit.allocate(self.memory.values(), [body])
        return emit.kernel([x.parameter for x in operands], declared(operands, body), self.target.threads)

    def _shared_chains(self) -> Stmt:
        """Threads share the chains; each runs through its steps alone."""

        def chain(index: Index) -> Stmt:
            def run(stage: Stage, step: _Step) -> Stmt:
                return emit.loop(self.tiles, lambda tile: self._task(stage, step, tile, index), "tile")

            return self._steps(run)

        return emit.parallel(self.shape.directions * self.units, chain)

    def _shared_units(self) -> Stmt:
        """Threads share the tiles of each stage and wait for each other behind it."""
        chains = self.shape.directions * self.units

        def run(stage: Stage, step: _Step) -> Stmt:
            def task(index: Index) -> Stmt:
                tile, chain = divmod_index(index, chains)
                return self._task(stage, step, tile, chain)

            return emit.awaited(emit.parallel(self.tiles * chains, task))

        return emit.region(self._steps(run))

    def _steps(self, run: Callable[[Stage, _Step], Stmt]) -> Stmt:
        """The loop over time. Its first step stands before it: it has another state before, or none."""

        def stages(step: _Step) -> Stmt:
            return emit.seq(run(stage, step) for stage in self.cell.stages)

        first = stages(_Step(0, None))
        if self.shape.steps == 1:
            return first
        return emit.seq([first, emit.loop(self.shape.steps - 1, lambda i: stages(_Step(i + 1, i)), "step")])

    def _task(self, stage: Stage, step: _Step, index: Index, chain: Index) -> Stmt:
        """A tile of a chain, in whichever of the sizes that there are."""
        direction, unit = divmod_index(chain, self.units)
        blocks, tail = self.config["blocks"], self.shape.hidden % self.lanes
        rows, rest = self.config["rows"], self.shape.batch % self.config["rows"]
        odd_tile = self.blocks % blocks != 0 or tail != 0

        def with_tile(last: bool) -> Stmt:
            width = (self.blocks - (self.tiles - 1) * blocks, tail) if last else (blocks, 0)

            def with_rows(last: bool) -> Stmt:
                tile = _Tile(direction, unit * rows, rest if last else rows, index, *width)
                return self._tile(stage, step, tile)

            return emit.choose(unit, self.shape.batch // rows, rest != 0, with_rows)

        return emit.choose(index, self.tiles - odd_tile, odd_tile, with_tile)

    def _tile(self, stage: Stage, step: _Step, tile: _Tile) -> Stmt:
        """The products of all gates, then the cell's steps vector by vector."""
        sums = Accumulators(tile.rows, len(stage.gates) * tile.blocks, self.lanes)
        held = {name: emit.local(self.lanes, f"{name}_held") for name, _ in stage.steps}
        body = sums.fill(0.0)
        if step.before is not None or "initial_h" in self.inputs:
            body.append(self._products(stage, step, tile, sums))
        for row in range(tile.rows):
            for block in range(tile.blocks):
                width = tile.tail if tile.tail and block == tile.blocks - 1 else self.lanes
                unit = (tile.index * self.config["blocks"] + block) * self.lanes
                at = _Vector(step, tile.direction, tile.row + row, unit, width)
                products = {
                    f"a_{gate}": sums.value(row, g * tile.blocks + block, width) for g, gate in enumerate(stage.gates)
                }
                body += self._cell(stage, at, products, held)
        return sums.run([emit.allocate(held.values(), body)])

    def _products(self, stage: Stage, step: _Step, tile: _Tile, sums: Accumulators) -> Stmt:
        """``sums[row][gate, unit] += source[row][k] * weights[k][gate, unit]`` over all k."""
        weights, hidden = self.inputs["weights"].view, self.shape.hidden
        depth = hidden * self.blocks * self.lanes
        before = self.cell.stages[: self.cell.stages.index(stage)]
        base = (tile.direction * len(self.order) + sum(len(other.gates) for other in before)) * depth
        base = base + tile.index * (self.config["blocks"] * self.lanes * len(stage.gates) * hidden)
        width = len(stage.gates) * tile.blocks * self.lanes

        def multiply(k: Index) -> list[Stmt]:
            def state(row: int) -> Expr:
                at = _Vector(step, tile.direction, tile.row + row, k, 1)
                return emit.splat(self._state(stage.source, at), self.lanes)

            def weight(v: int) -> Expr:
                return emit.load(weights, [0, 0, 0, 0, base + k * width + v * self.lanes], self.lanes)

            ahead = emit.prefetch_row(weights, base + k * width, width, self.config["prefetch"])
            return [*ahead, *sums.multiply_add(state, weight)]

        def several(k: Index, count: int) -> Stmt:
            return emit.seq(part for u in range(count) for part in multiply(k + u))

        return emit.split_loop(hidden, min(self.config["unroll"], hidden), several, "k")

    def _cell(self, stage: Stage, at: _Vector, products: dict[str, Expr], held: dict[str, Buffer]) -> list[Stmt]:
        """The stage's steps on one vector of hidden units; `held` are registers for what they compute."""
        computed: set[str] = set()

        def value(name: Any) -> Expr:
            if name in computed:
                return emit.load(held[name], [0], at.width)
            if name in products:
                return products[name]
            return self._operand(name, at)

        statements = []
        for name, expr in stage.steps:
            result = VectorMath(at.width).evaluate(expr, None, value)
            statements.append(emit.store(held[name], result, [0], at.width))
            computed.add(name)
        for name in stage.stores:
            buffer, place = self._memory(name, at)
            statements.append(emit.store(buffer, emit.load(held[name], [0], at.width), place, at.width))
        return statements

    def _operand(self, name: str, at: _Vector) -> Expr:
        """What a name means that the stage has not computed."""
        kind, _, gate = name.partition("_")
        if not gate:
            return self._state(name, at)
        hidden = self.shape.hidden
        if kind == "x":
            row = self._time(at.step.now, at.direction) * self.shape.batch + at.row
            row = row * self.shape.directions + at.direction
            return self._load("projections", (row * len(self.order) + self.order.index(gate)) * hidden + at.unit, at)
        if kind == "b":
            return self._load("bias", at.direction * hidden + at.unit, at)
        peepholes = at.direction * 3 + self.order.index(gate)
        return self._load("peepholes", peepholes * hidden + at.unit, at)

    def _state(self, name: str, at: _Vector) -> Expr:
        """A state of the step before, or what an earlier stage of this one has stored."""
        if name in ("h", "c") and at.step.before is None:
            if f"initial_{name}" not in self.inputs:
                return emit.splat(emit.const(0.0), at.width)
            return self._load(f"initial_{name}", self._row(at) * self.shape.hidden + at.unit, at)
        step = at.step if at.step.before is None or name != "h" else _Step(at.step.before, None)
        buffer, place = self._memory(name, _Vector(step, at.direction, at.row, at.unit, at.width))
        return emit.load(buffer, place, at.width)

    def _memory(self, name: str, at: _Vector) -> tuple[Buffer, list[Index]]:
        """Where a state of the step `at` is stored: ``h`` among the results, others in memory of their own."""
        if name in self.memory:
            return self.memory[name], [self._row(at) * self.shape.hidden + at.unit]
        time = self._time(at.step.now, at.direction) if name == "h" else self.shape.steps
        row = time * (self.shape.directions * self.shape.batch) + self._row(at)
        return self.result.view, [0, 0, 0, 0, row * self.shape.hidden + at.unit]

    def _load(self, name: str, place: Index, at: _Vector) -> Expr:
        return emit.load(self.inputs[name].view, [0, 0, 0, 0, place], at.width)

    def _row(self, at: _Vector) -> Index:
        """The row among those of all directions."""
        return at.direction * self.shape.batch + at.row

    def _time(self, step: Index, direction: Index) -> Index:
        """Where in time a step of a direction is."""
        last = self.shape.steps - 1
        if self.way == "bidirectional":
            return step + direction * (last - 2 * step)
        return last - step if self.way == "reverse" else step
