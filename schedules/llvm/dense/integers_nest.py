"""The loop nest of a matrix product of quantised rows: four elements of a row are multiplied at once.

The sums are int32 and exact. They begin at minus the zero point times the sum of the weights, so that they are those of
the rows without it.
"""

from __future__ import annotations

from collections.abc import Callable

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.dense.nest import DenseNest
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt
from tvmopt.schedules.llvm.parts.products import multiply_add, pairs_fit
from tvmopt.schedules.llvm.parts.quads import QUAD, SUMS, moved_data
from tvmopt.schedules.llvm.parts.register_tile import Accumulators
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

tirx = lazily("tvm.tirx")


class IntegerDenseNest(DenseNest):
    """Writes the loop nest of one workload under one config."""

    def __init__(
        self, workload: Workload, target: Target, config: Config, packed: dict[int, tuple[int, ...]], depth: int
    ) -> None:
        super().__init__(workload, target, config, packed, depth)
        self.row_bytes = workload.inputs[0].shape[-1]
        if packed:
            # Four weights are one element.
            self.inputs[1] = self.inputs[1].seen_as(Tensor((packed[1][0] // QUAD,), SUMS))

    def accumulators(self, rows: int, vectors: int) -> Accumulators:
        """The sums of a tile."""
        return Accumulators(rows, vectors, self.lanes, SUMS)

    def start(self, accumulators: Accumulators, column: Index) -> list[Stmt]:
        """The sums begin at what the zero point adds to them, stored behind the weights."""
        if self.workload.attr("zero") == moved_data(self.target):
            return accumulators.fill(0)
        first = -(-self.columns // self.lanes) * self.lanes * self.depth + column
        loads = [
            emit.load(self.inputs[1].view, [0, 0, 0, 0, first + v * self.lanes], self.lanes)
            for v in range(accumulators.vectors)
        ]
        return [accumulators.set(r, v, loads[v]) for r, v in accumulators]

    def spread(self, row: Index, k: Index) -> emit.Expr:
        """Four elements of a row, in every lane of four bytes; behind the end of the row zeros."""
        first, rest = row * self.row_bytes + k * QUAD, self.row_bytes % QUAD
        if rest and isinstance(k, int) and k == self.depth - 1:
            # Not those of the next row: behind the last row is the end of the memory.
            own = [emit.load(self.inputs[0].view, [0, 0, 0, 0, first + i]) for i in range(rest)]
            four = tirx.Shuffle([*own, *[tirx.const(0, "uint8")] * (QUAD - rest)], list(range(QUAD)))
        else:
            four = emit.load(self.inputs[0].view, [0, 0, 0, 0, first], QUAD)
        return emit.splat(tirx.reinterpret(SUMS, four), self.lanes)

    def products(
        self, accumulators: Accumulators, data: Callable[[int], emit.Expr], weight: Callable[[int], emit.Expr]
    ) -> list[Stmt]:
        """A step of the reduction."""
        fits = pairs_fit(self.workload)
        return [
            accumulators.set(r, v, multiply_add(accumulators.value(r, v), data(r), weight(v), self.target, fits=fits))
            for r, v in accumulators
        ]

    def reduction(self, steps: Callable[[Index, int], Stmt]) -> list[Stmt]:
        """All steps; one that is not of four elements comes last, by itself."""
        whole = self.row_bytes // QUAD
        body = [emit.split_loop(whole, min(self.config["unroll"], whole), steps, "k")] if whole else []
        return [*body, steps(whole, 1)] if whole < self.depth else body
