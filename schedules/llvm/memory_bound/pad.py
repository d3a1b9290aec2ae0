"""Padding of plain tensors: with a number, the edge, or elements from the other side; negative padding cuts off.

Neighbouring axes without padding are one, so that rows are long. In each row of the result, the elements of
the source are copied in vectors, and those before and behind them one by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.memory_bound.copied import MOVED
from tvmopt.schedules.llvm.memory_bound.pointwise import flat_view
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Expr, Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import operands_of
from tvmopt.schedules.llvm.parts.split import rows_in_tasks
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

MODES = ("constant", "edge", "reflect", "wrap")

Axis = tuple[int, int, int]
"""The elements of the source along an axis, and how many are added before and behind."""


class Pad(NoKnobs):
    """The template; attributes: `before` and `after`, for each axis, `mode` and `fill`, the number."""

    name = "pad"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """One of `MOVED`, in row-major order; only where a number is added, something may be cut off, too."""
        if workload.op != self.name or len(workload.dtypes) != 1 or workload.output.dtype not in MOVED:
            return False
        mode = workload.attr("mode")
        return mode in MODES and workload.inputs[0].plain and all(has_source(axis, mode) for axis in _axes(workload))

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        return _Pad(workload, target).function()


def has_source(axis: Axis, mode: str) -> bool:
    """Whether elements are left along an axis, and those that are added come from the source as it is."""
    size, before, after = axis
    if mode == "constant":
        return size + min(before, 0) + min(after, 0) > 0
    return size > 0 and min(before, after) >= 0 and (mode != "reflect" or max(before, after) < size)


def _axes(workload: Workload) -> tuple[Axis, ...]:
    return tuple(zip(workload.inputs[0].shape, workload.attr("before"), workload.attr("after"), strict=True))


def merged(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """The same padding with as few axes as possible: neighbours without padding are one."""
    made: list[Axis] = []
    for size, before, after in axes:
        if made and before == after == 0 and made[-1][1] == made[-1][2] == 0:
            made[-1] = (made[-1][0] * size, 0, 0)
        else:
            made.append((size, before, after))
    return tuple(made) or ((1, 0, 0),)


class _Pad:
    """Writes the loop nest of one workload."""

    def __init__(self, workload: Workload, target: Target) -> None:
        self.target, (inputs, self.result) = target, operands_of(workload)
        self.source, self.mode, self.dtype = inputs[0], workload.attr("mode"), workload.output.dtype
        self.lanes, self.fill = target.lanes(self.dtype), tirx.const(workload.attr("fill"), self.dtype)
        if not self.dtype.startswith("float"):
            self.fill = tirx.const(int(workload.attr("fill")), self.dtype)
        self.axes = merged(_axes(workload))
        self.sizes = tuple(sum(axis) for axis in self.axes)
        self.views = (flat_view(self.source), flat_view(self.result))

    def function(self) -> Any:
        rows, row = math.prod(self.sizes[:-1]), self.sizes[-1]
        buffers = (self.source.parameter, self.result.parameter)
        declarations = [view.declare() for view in self.views]
        body = rows_in_tasks(rows, row, self.target.threads, self._row)
        return emit.kernel(buffers, tirx.SeqStmt([*declarations, body]), self.target.threads)

    def _row(self, number: Index) -> Stmt:
        """One row of the result."""
        rest, line, step, inside = number, 0, self.axes[-1][0], []
        for axis, size in reversed(list(zip(self.axes[:-1], self.sizes[:-1], strict=True))):
            rest, place = divmod_index(rest, size)
            if self.mode == "constant" and axis[1:] != (0, 0):
                shifted = place - axis[1]
                inside += [tirx.convert(shifted) >= 0, tirx.convert(shifted) < axis[0]]
                line = line + shifted * step
            else:
                line = line + self._from(axis, place) * step
            step *= axis[0]
        start, first = tirx.Var("line", "int32"), number * self.sizes[-1]
        copied = tirx.SeqStmt([tirx.Bind(start, tirx.convert(line)), self._inside(start, first)])
        if not inside:
            return copied
        return tirx.IfThenElse(tirx.all(*inside), copied, self._filled(first, self.sizes[-1]))

    def _inside(self, start: Index, first: Index) -> Stmt:
        """A row that has elements of the source, whose first is at `start`."""
        size, before, after = self.axes[-1]
        head, cut = max(before, 0), max(-before, 0)
        count = size - cut - max(-after, 0)

        def copy(place: Index, width: int) -> Stmt:
            value = emit.load(self.views[0], [start + cut + place], width)
            return emit.store(self.views[1], value, [first + head + place], width)

        def added(begin: int, number: int) -> Stmt:
            if self.mode == "constant":
                return self._filled(first + begin, number)

            def element(i: Index) -> Stmt:
                value = emit.load(self.views[0], [start + self._from(self.axes[-1], i + begin)])
                return emit.store(self.views[1], value, [first + begin + i])

            return emit.loop(number, element)

        parts = [added(0, head)] if head else []
        parts.append(emit.in_vectors(count, (4 * self.lanes, self.lanes, 1), copy))
        return emit.seq([*parts, added(head + count, after)] if after > 0 else parts)

    def _filled(self, first: Index, count: int) -> Stmt:
        def some(place: Index, width: int) -> Stmt:
            return emit.store(self.views[1], emit.splat(self.fill, width), [first + place], width)

        return emit.in_vectors(count, (self.lanes, 1), some)

    def _from(self, axis: Axis, place: Index) -> Expr:
        """The element of the source along an axis that the result has at `place`."""
        size, before, after = axis
        shifted = place - before
        if before <= 0 and after <= 0:
            return shifted
        shifted = tirx.convert(shifted)
        if self.mode == "edge":
            return emit.most(emit.least(shifted, size - 1), 0)
        if self.mode == "wrap":
            return divmod_index(shifted, size)[1]
        folded = tirx.abs(shifted)
        return emit.least(folded, 2 * (size - 1) - folded) if after > 0 else folded
