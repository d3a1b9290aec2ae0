"""The loop nest of a recurrence under one config; `schedules.llvm.recurrent.recurrent` is the template."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tvmopt.schedules.compute.pointwise import VectorMath
from tvmopt.schedules.compute.recurrent import GATES, Stage, cell_of, operands_of, shape_of
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Buffer, Expr, Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.operands import Operand, declared
from tvmopt.schedules.llvm.parts.register_tile import Accumulators
from tvmopt.schedules.llvm.recurrent.barrier import Meeting
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload


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
class _Chain:
    """Rows of the batch in one direction, independent of all others.

    Attributes:
        direction: 0, or 1 for the second of two.
        row: the first row.
        rows: how many.
        memory: buffers for what the cell keeps besides ``h``, by name.
        slot: the chain's first row in these buffers.
    """

    direction: Index
    row: Index
    rows: int
    memory: Mapping[str, Buffer]
    slot: Index


@dataclass(frozen=True, slots=True)
class _Units:
    """Hidden units that are computed at once: `blocks` vectors, the last of `tail` elements unless that is 0."""

    tile: Index
    blocks: int
    tail: int


@dataclass(frozen=True, slots=True)
class _Vector:
    """`width` hidden units from `unit` on, of the chain's row `row`, at a time step."""

    step: _Step
    chain: _Chain
    row: int
    unit: Index
    width: int


class Nest:
    """Writes the loop nest of one workload under one config.

    Args:
        workload: a ``recurrence``.
        target: the machine to generate code for.
        config: the template's knobs.
        packed: shape of the packed weights.
    """

    def __init__(self, workload: Workload, target: Target, config: Config, packed: tuple[int, ...]) -> None:
        self.target, self.config, self.lanes = target, config, target.lanes(FLOAT32)
        self.shape, self.cell = shape_of(workload), cell_of(workload)
        self.same_input = workload.inputs[0].shape[0] == 1
        self.order, self.way = GATES[workload.attr("kind")], workload.attr("direction")
        tensors = [workload.inputs[0], Tensor(packed), *workload.inputs[2:]]
        names = ("projections", "weights", *operands_of(workload))
        self.inputs = {name: Operand(tensor, name) for name, tensor in zip(names, tensors, strict=True)}
        self.result = Operand(workload.output, "output")
        blocks = math.ceil(self.shape.hidden / self.lanes)
        # Full tiles; then one more when blocks or elements are left over.
        self.odd = blocks % config["blocks"] != 0 or self.shape.hidden % self.lanes != 0
        self.whole = math.ceil(blocks / config["blocks"]) - self.odd
        in_output = {"c"} if workload.attr("keeps_cell") else set()
        self.remembered = [name for name in self.cell.memory if name not in in_output]

    def function(self) -> Any:
        """The PrimFunc: inputs (weights packed), then the output."""
        operands = [*self.inputs.values(), self.result]
        body = self._shared_units() if self.config["split"] else self._shared_chains()
        return emit.kernel([x.parameter for x in operands], declared(operands, body), self.target.threads)

    def _shared_chains(self) -> Stmt:
        """Threads share the chains; each chain runs through its steps alone, with its own memory."""
        rows, (whole, rest) = self.config["rows"], divmod(self.shape.batch, self.config["rows"])
        units = whole + (rest > 0)

        def task(index: Index) -> Stmt:
            direction, unit = divmod_index(index, units)

            def steps(last: bool) -> Stmt:
                memory = self._new_memory(rows)
                chain = _Chain(direction, unit * rows, rest if last else rows, memory, 0)
                return _with(memory, self._steps(lambda stage, step: self._all_units(stage, step, chain)))

            return emit.choose(unit, whole, rest > 0, steps)

        return emit.parallel(self.shape.directions * units, task)

    def _shared_units(self) -> Stmt:
        """Threads share the tiles of hidden units of each stage and wait for each other after it."""
        memory = self._new_memory(self.shape.directions * self.shape.batch)
        meeting, stages = Meeting(self.whole + self.odd, self.target), self.cell.stages

        def run(stage: Stage, step: _Step) -> Stmt:
            def work(tile: Index) -> Stmt:
                def units(last: bool) -> Stmt:
                    return emit.seq(self._all_chains(stage, step, self._units_of(tile, last), memory))

                return emit.choose(tile, self.whole, self.odd, units)

            return meeting.round_of(step.now * len(stages) + stages.index(stage) + 1, work)

        return _with(memory, meeting.region(self._steps(run)))

    def _new_memory(self, rows: int) -> dict[str, Buffer]:
        return {name: emit.local(rows * self.shape.hidden, name) for name in self.remembered}

    def _units_of(self, tile: Index, last: bool) -> _Units:
        """A tile. The last one's number is constant: TVM computes wrong buffer bounds if they depend on a branch."""
        blocks, count = self.config["blocks"], math.ceil(self.shape.hidden / self.lanes)
        if last:
            return _Units(self.whole, count - self.whole * blocks, self.shape.hidden % self.lanes)
        return _Units(tile, blocks, 0)

    def _all_units(self, stage: Stage, step: _Step, chain: _Chain) -> Stmt:
        """All tiles of a chain, one after another."""
        parts = []
        if self.whole:
            parts.append(
                emit.loop(self.whole, lambda t: self._tile(stage, step, chain, self._units_of(t, False)), "tile")
            )
        if self.odd:
            parts.append(self._tile(stage, step, chain, self._units_of(self.whole, True)))
        return emit.seq(parts)

    def _all_chains(self, stage: Stage, step: _Step, units: _Units, memory: Mapping[str, Buffer]) -> Iterator[Stmt]:
        """One tile of all chains, one after another."""
        for direction in range(self.shape.directions):

            def rows(first: Index, count: int, direction: int = direction) -> Stmt:
                chain = _Chain(direction, first, count, memory, direction * self.shape.batch + first)
                return self._tile(stage, step, chain, units)

            yield emit.split_loop(self.shape.batch, self.config["rows"], rows, "row")

    def _steps(self, run: Callable[[Stage, _Step], Stmt]) -> Stmt:
        """The loop over time. The first step comes before the loop, as it starts from the initial state or none."""

        def stages(step: _Step) -> Stmt:
            return emit.seq(run(stage, step) for stage in self.cell.stages)

        first = stages(_Step(0, None))
        if self.shape.steps == 1:
            return first
        return emit.seq([first, emit.loop(self.shape.steps - 1, lambda i: stages(_Step(i + 1, i)), "step")])

    def _tile(self, stage: Stage, step: _Step, chain: _Chain, units: _Units) -> Stmt:
        """The products of all gates, then the cell's steps vector by vector."""
        sums = Accumulators(chain.rows, len(stage.gates) * units.blocks, self.lanes)
        held = {name: emit.local(self.lanes, f"{name}_held") for name, _ in stage.steps}
        body = sums.fill(0.0)
        if step.before is not None or "initial_h" in self.inputs:
            body.append(self._products(stage, _Vector(step, chain, 0, 0, 1), units, sums))
        for row in range(chain.rows):
            for block in range(units.blocks):
                width = units.tail if units.tail and block == units.blocks - 1 else self.lanes
                at = _Vector(step, chain, row, (units.tile * self.config["blocks"] + block) * self.lanes, width)
                products = {
                    f"a_{gate}": sums.value(row, g * units.blocks + block, width) for g, gate in enumerate(stage.gates)
                }
                body += self._cell(stage, at, products, held)
        return sums.run([emit.allocate(held.values(), body)])

    def _products(self, stage: Stage, first: _Vector, units: _Units, sums: Accumulators) -> Stmt:
        """``sums[row][gate, unit] += source[row][k] * weights[k][gate, unit]`` over k; `first` is at row 0, k 0."""
        weights, hidden = self.inputs["weights"].view, self.shape.hidden
        depth = hidden * math.ceil(hidden / self.lanes) * self.lanes
        before = self.cell.stages[: self.cell.stages.index(stage)]
        base = (first.chain.direction * len(self.order) + sum(len(other.gates) for other in before)) * depth
        base = base + units.tile * (self.config["blocks"] * self.lanes * len(stage.gates) * hidden)
        width = len(stage.gates) * units.blocks * self.lanes

        def multiply(k: Index) -> list[Stmt]:
            def state(row: int) -> Expr:
                return emit.splat(self._state(stage.source, replace(first, row=row, unit=k)), self.lanes)

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
        """The value of a name that the stage has not computed."""
        kind, _, gate = name.partition("_")
        if not gate:
            return self._state(name, at)
        hidden, direction = self.shape.hidden, at.chain.direction
        if kind == "x":
            time = 0 if self.same_input else self._time(at.step.now, direction)
            row = time * self.shape.batch + at.chain.row + at.row
            row = row * self.shape.directions + direction
            return self._load("projections", (row * len(self.order) + self.order.index(gate)) * hidden + at.unit, at)
        if kind == "b":
            return self._load("bias", direction * hidden + at.unit, at)
        return self._load("peepholes", (direction * 3 + self.order.index(gate)) * hidden + at.unit, at)

    def _state(self, name: str, at: _Vector) -> Expr:
        """A state of the previous step, or what an earlier stage of this step stored."""
        if name in ("h", "c") and at.step.before is None:
            if f"initial_{name}" not in self.inputs:
                return emit.splat(emit.const(0.0), at.width)
            return self._load(f"initial_{name}", self._row(at) * self.shape.hidden + at.unit, at)
        if name == "h":
            at = replace(at, step=_Step(at.step.before, None))
        buffer, place = self._memory(name, at)
        return emit.load(buffer, place, at.width)

    def _memory(self, name: str, at: _Vector) -> tuple[Buffer, list[Index]]:
        """Where a state of the step `at` is stored: ``h`` and a kept ``c`` in the output, others in separate memory."""
        if name in at.chain.memory:
            return at.chain.memory[name], [(at.chain.slot + at.row) * self.shape.hidden + at.unit]
        time = self._time(at.step.now, at.chain.direction) if name == "h" else self.shape.steps
        row = time * (self.shape.directions * self.shape.batch) + self._row(at)
        return self.result.view, [0, 0, 0, 0, row * self.shape.hidden + at.unit]

    def _load(self, name: str, place: Index, at: _Vector) -> Expr:
        return emit.load(self.inputs[name].view, [0, 0, 0, 0, place], at.width)

    def _row(self, at: _Vector) -> Index:
        """The row among those of all directions."""
        return at.chain.direction * self.shape.batch + at.chain.row + at.row

    def _time(self, step: Index, direction: Index) -> Index:
        """The position in time of a direction's step."""
        last = self.shape.steps - 1
        if self.way == "bidirectional":
            return step + direction * (last - 2 * step)
        return last - step if self.way == "reverse" else step


def _with(memory: Mapping[str, Buffer], body: Stmt) -> Stmt:
    """`body` with buffers allocated for it, if there are any."""
    return emit.allocate(memory.values(), [body]) if memory else body
