"""Reductions and softmax over one axis of a plain tensor, seen as ``(outer, axis, inner)``.

With ``inner`` = 1 the vectors run along the axis and are joined at the end; otherwise they run along ``inner``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tvm import tirx

from schedules.compute.pointwise import VectorMath
from schedules.llvm import emit
from schedules.llvm.emit import Index, Stmt, divmod_index
from schedules.llvm.movement import _NoKnobs
from schedules.llvm.operands import declared, operands_of
from schedules.llvm.pool2d import LOWEST
from schedules.space import Config
from schedules.target import Target
from schedules.workload import Workload

KINDS = ("sum", "mean", "max", "min")
_START = {"sum": 0.0, "mean": 0.0, "max": LOWEST, "min": -LOWEST}


def _merge(kind: str, x: emit.Expr, y: emit.Expr) -> emit.Expr:
    if kind == "max":
        return tirx.max(x, y)
    return tirx.min(x, y) if kind == "min" else x + y


class Reduce(_NoKnobs):
    """Sum, mean, maximum or minimum; input ``(outer, axis, inner)``, output ``(outer, 1, inner)``."""

    name = "reduce"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32 on a CPU."""
        return workload.op == "reduce" and not target.is_gpu and workload.inputs[0].dtype == "float32"

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        kind = workload.attr("kind")
        axis = workload.inputs[0].shape[1]
        scale = 1.0 / axis if kind == "mean" else 1.0

        def lanes(rows: _Rows, outer: Index, column: Index, width: int) -> Stmt:
            held = emit.local(width, "held")
            body = [emit.store(held, emit.splat(emit.const(_START[kind]), width), [0], width)]
            body.append(rows.sweep(held, kind, outer, column, width, lambda value, _: value))
            total = emit.load(held, [0], width) * emit.splat(emit.const(scale), width)
            return emit.allocate(held, [*body, rows.write(total, outer, 0, column, width)])

        def along(rows: _Rows, outer: Index) -> Stmt:
            total = emit.local(1, "total")
            joined = rows.join(total, kind, outer, lambda value, _: value)
            return emit.allocate(total, [joined, rows.write(emit.load(total, [0]) * emit.const(scale), outer, 0, 0, 1)])

        return _Rows(workload, target).function(lanes, along)


class Softmax(_NoKnobs):
    """``exp(x - max) / sum(exp(x - max))`` along the axis; input and output ``(outer, axis, inner)``."""

    name = "softmax"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32 on a CPU."""
        return workload.op == "softmax" and not target.is_gpu and workload.inputs[0].dtype == "float32"

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""

        def exponential(held: emit.Buffer, value: emit.Expr, width: int) -> emit.Expr:
            shifted = value - emit.splat(emit.load(held, [0]), width)
            return VectorMath(width).evaluate(("exp", ("acc",)), shifted, lambda _: None)

        def lanes(rows: _Rows, outer: Index, column: Index, width: int) -> Stmt:
            top, total = emit.local(width, "top"), emit.local(width, "total")
            math_ = VectorMath(width)

            def shifted(value: emit.Expr, _: int) -> emit.Expr:
                return math_.evaluate(("exp", ("acc",)), value - emit.load(top, [0], width), lambda i: None)

            def scaled(k: Index) -> Stmt:
                value = shifted(rows.read(outer, k, column, width), width) / emit.load(total, [0], width)
                return rows.write(value, outer, k, column, width)

            body = [
                tirx.AllocBuffer(total),
                emit.store(top, emit.splat(emit.const(LOWEST), width), [0], width),
                emit.store(total, emit.splat(emit.const(0.0), width), [0], width),
                rows.sweep(top, "max", outer, column, width, lambda value, _: value),
                rows.sweep(total, "sum", outer, column, width, shifted),
                emit.loop(rows.axis, scaled, "k"),
            ]
            return emit.allocate(top, body)

        def along(rows: _Rows, outer: Index) -> Stmt:
            top, total = emit.local(1, "top"), emit.local(1, "total")

            def scaled(k: Index, count: int) -> Stmt:
                value = exponential(top, rows.read(outer, k, 0, count), count)
                return rows.write(value / emit.splat(emit.load(total, [0]), count), outer, k, 0, count)

            body = [
                tirx.AllocBuffer(total),
                rows.join(top, "max", outer, lambda value, _: value),
                rows.join(total, "sum", outer, lambda value, width: exponential(top, value, width)),
                rows.vectors(scaled),
            ]
            return emit.allocate(top, body)

        return _Rows(workload, target).function(lanes, along)


Transform = Callable[[emit.Expr, int], emit.Expr]


class _Rows:
    """A plain tensor as ``(outer, axis, inner)``, read and written in vectors."""

    def __init__(self, workload: Workload, target: Target) -> None:
        self.target = target
        self.inputs, self.result = operands_of(workload)
        self.outer, self.axis, self.inner = workload.inputs[0].shape
        self.out_axis = workload.output.shape[1]

    def function(
        self, lanes: Callable[[_Rows, Index, Index, int], Stmt], along: Callable[[_Rows, Index], Stmt]
    ) -> Any:
        """The kernel: `along` for every outer index when inner is 1, else `lanes` for every vector of inner."""
        if self.inner == 1:
            body = emit.parallel(self.outer, lambda outer: along(self, outer))
        else:
            whole, rest = divmod(self.inner, self.target.lanes)
            pieces = whole + (rest > 0)

            def task(index: Index) -> Stmt:
                outer, piece = divmod_index(index, pieces)
                column = piece * self.target.lanes

                def tail(last: bool) -> Stmt:
                    if last:
                        return emit.loop(rest, lambda i: lanes(self, outer, column + i, 1))
                    return lanes(self, outer, column, self.target.lanes)

                return emit.choose(piece, whole, rest != 0, tail)

            body = emit.parallel(self.outer * pieces, task)
        operands = [*self.inputs, self.result]
        return emit.kernel([x.parameter for x in operands], declared(operands, body), self.target.threads)

    def read(self, outer: Index, k: Index, column: Index, width: int) -> emit.Expr:
        """Elements from ``(outer, k, column)`` on."""
        place = (outer * self.axis + k) * self.inner + column
        return emit.load(self.inputs[0].view, [0, 0, 0, 0, place], width)

    def write(self, value: emit.Expr, outer: Index, k: Index, column: Index, width: int) -> Stmt:
        """Stores elements from ``(outer, k, column)`` on."""
        place = (outer * self.out_axis + k) * self.inner + column
        return emit.store(self.result.view, value, [0, 0, 0, 0, place], width)

    def vectors(self, body: Callable[[Index, int], Stmt]) -> Stmt:
        """`body(first, width)` over the axis in vectors, then element by element."""
        lanes = self.target.lanes
        whole, rest = divmod(self.axis, lanes)
        parts = [emit.loop(whole, lambda i: body(i * lanes, lanes), "k")] if whole else []
        if rest:
            parts.append(emit.loop(rest, lambda i: body(i + whole * lanes, 1), "k"))
        return emit.seq(parts)

    def sweep(
        self, held: emit.Buffer, kind: str, outer: Index, column: Index, width: int, of: Transform
    ) -> Stmt:
        """Merges every element along the axis, transformed by `of`, into the vector `held`."""

        def merge(k: Index) -> Stmt:
            value = of(self.read(outer, k, column, width), width)
            return emit.store(held, _merge(kind, emit.load(held, [0], width), value), [0], width)

        return emit.loop(self.axis, merge, "k")

    def join(self, total: emit.Buffer, kind: str, outer: Index, of: Transform) -> Stmt:
        """Merges a row of the axis, transformed by `of`, into the scalar `total`."""
        lanes = min(self.target.lanes, 2 ** int(math.log2(self.axis)))
        held = emit.local(lanes, "held")
        start = emit.const(_START[kind])

        def merge(k: Index, width: int) -> Stmt:
            value = of(self.read(outer, k, 0, width), width)
            if width == 1:
                return emit.store(total, _merge(kind, emit.load(total, [0]), value), [0])
            return emit.store(held, _merge(kind, emit.load(held, [0], width), value), [0], width)

        def element(i: int) -> Stmt:
            return emit.store(total, _merge(kind, emit.load(total, [0]), emit.load(held, [i])), [0])

        body = [emit.store(total, start, [0]), self.vectors(merge)]
        if self.axis < self.target.lanes:
            return emit.seq(body)
        filled = emit.store(held, emit.splat(start, lanes), [0], lanes)
        return emit.allocate(held, [filled, *body, *(element(i) for i in range(lanes))])
