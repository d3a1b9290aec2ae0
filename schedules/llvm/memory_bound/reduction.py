"""Reductions and softmax over one axis of a plain tensor, seen as ``(outer, axis, inner)``.

With ``inner`` = 1 the vectors run along the axis and are merged at the end; otherwise they run along ``inner``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from tvmopt.schedules.compute.pointwise import VectorMath
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.expression import ACC, call
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.memory_bound.pool2d import LOWEST
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import declared, operands_of
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

TOP = "top"
"""The maximum of a row that softmax subtracts; it may miss NaN, which then comes in with the exponentials."""
KINDS = ("sum", "mean", "max", "min")
_START = {"sum": 0.0, "mean": 0.0, "max": LOWEST, "min": -LOWEST, TOP: LOWEST}


def _merge(kind: str, held: emit.Expr, value: emit.Expr) -> emit.Expr:
    """`value` merged into what is held; NaN stays."""
    if kind in ("max", "min"):
        return emit.keep_nan(tirx.max if kind == "max" else tirx.min, held, value)
    return tirx.max(held, value) if kind == TOP else held + value


class Reduce(NoKnobs):
    """Sum, mean, maximum or minimum; input ``(outer, axis, inner)``, output ``(outer, 1, inner)``."""

    name = "reduce"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32."""
        return workload.op == "reduce" and workload.dtypes == {FLOAT32}

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        kind = workload.attr("kind")
        axis = workload.inputs[0].shape[1]
        scale = 1.0 / axis if kind == "mean" else 1.0

        def lanes(rows: _Rows, at: _Vector) -> Stmt:
            held = emit.local(at.width, "held")
            body = [emit.store(held, emit.splat(emit.const(_START[kind]), at.width), [0], at.width)]
            body.append(rows.sweep(held, kind, at, _unchanged))
            total = emit.load(held, [0], at.width) * emit.splat(emit.const(scale), at.width)
            return emit.allocate([held], [*body, rows.write(total, at, 0)])

        def along(rows: _Rows, outer: Index) -> Stmt:
            total = emit.local(1, "total")
            joined = rows.join(total, kind, outer, _unchanged)
            result = emit.load(total, [0]) * emit.const(scale)
            return emit.allocate([total], [joined, rows.write(result, _Vector(outer, 0, 1), 0)])

        return _Rows(workload, target).function(lanes, along)


class Softmax(NoKnobs):
    """``exp(x - max) / sum(exp(x - max))`` along the axis; input and output ``(outer, axis, inner)``."""

    name = "softmax"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32."""
        return workload.op == "softmax" and workload.dtypes == {FLOAT32}

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""

        def exponential(held: emit.Buffer, value: emit.Expr, width: int) -> emit.Expr:
            shifted = value - emit.splat(emit.load(held, [0]), width)
            return VectorMath(width).evaluate(call("exp", ACC), shifted, lambda _: None)

        def lanes(rows: _Rows, at: _Vector) -> Stmt:
            top, total = emit.local(at.width, "top"), emit.local(at.width, "total")
            math_ = VectorMath(at.width)

            def shifted(value: emit.Expr, _: int) -> emit.Expr:
                return math_.evaluate(call("exp", ACC), value - emit.load(top, [0], at.width), lambda i: None)

            def scaled(k: Index) -> Stmt:
                value = shifted(rows.read(at, k), at.width) / emit.load(total, [0], at.width)
                return rows.write(value, at, k)

            body = [
                tirx.AllocBuffer(total),
                emit.store(top, emit.splat(emit.const(LOWEST), at.width), [0], at.width),
                emit.store(total, emit.splat(emit.const(0.0), at.width), [0], at.width),
                rows.sweep(top, TOP, at, _unchanged),
                rows.sweep(total, "sum", at, shifted),
                emit.loop(rows.axis, scaled, "k"),
            ]
            return emit.allocate([top], body)

        def along(rows: _Rows, outer: Index) -> Stmt:
            top, total = emit.local(1, "top"), emit.local(1, "total")

            def scaled(k: Index, count: int) -> Stmt:
                at = _Vector(outer, 0, count)
                value = exponential(top, rows.read(at, k), count)
                return rows.write(value / emit.splat(emit.load(total, [0]), count), at, k)

            body = [
                tirx.AllocBuffer(total),
                rows.join(top, TOP, outer, _unchanged),
                rows.join(total, "sum", outer, lambda value, width: exponential(top, value, width)),
                rows.vectors(scaled),
            ]
            return emit.allocate([top], body)

        return _Rows(workload, target).function(lanes, along)


Transform = Callable[[emit.Expr, int], emit.Expr]


def _unchanged(value: emit.Expr, width: int) -> emit.Expr:
    return value


class _Vector(NamedTuple):
    """`width` neighbouring columns of the inner dimension, from `column` on, at one outer index."""

    outer: Index
    column: Index
    width: int


class _Rows:
    """A plain tensor as ``(outer, axis, inner)``, read and written in vectors."""

    def __init__(self, workload: Workload, target: Target) -> None:
        self.target = target
        self.inputs, self.result = operands_of(workload)
        self.outer, self.axis, self.inner = workload.inputs[0].shape
        self.out_axis = workload.output.shape[1]

    def function(self, lanes: Callable[[_Rows, _Vector], Stmt], along: Callable[[_Rows, Index], Stmt]) -> Any:
        """The kernel: `along` for every outer index when inner is 1, else `lanes` for every vector of inner."""
        if self.inner == 1:
            body = emit.parallel(self.outer, lambda outer: along(self, outer))
        else:
            whole, rest = divmod(self.inner, self.target.lanes(FLOAT32))
            pieces = whole + (rest > 0)

            def task(index: Index) -> Stmt:
                outer, piece = divmod_index(index, pieces)
                column = piece * self.target.lanes(FLOAT32)

                def tail(last: bool) -> Stmt:
                    if last:
                        return emit.loop(rest, lambda i: lanes(self, _Vector(outer, column + i, 1)))
                    return lanes(self, _Vector(outer, column, self.target.lanes(FLOAT32)))

                return emit.choose(piece, whole, rest != 0, tail)

            body = emit.parallel(self.outer * pieces, task)
        operands = [*self.inputs, self.result]
        return emit.kernel([x.parameter for x in operands], declared(operands, body), self.target.threads)

    def read(self, at: _Vector, k: Index) -> emit.Expr:
        """The vector at `k` along the axis."""
        place = (at.outer * self.axis + k) * self.inner + at.column
        return emit.load(self.inputs[0].view, [0, 0, 0, 0, place], at.width)

    def write(self, value: emit.Expr, at: _Vector, k: Index) -> Stmt:
        """Stores the vector at `k` along the axis."""
        place = (at.outer * self.out_axis + k) * self.inner + at.column
        return emit.store(self.result.view, value, [0, 0, 0, 0, place], at.width)

    def vectors(self, body: Callable[[Index, int], Stmt]) -> Stmt:
        """`body(first, width)` over the axis in vectors, then element by element."""
        lanes = self.target.lanes(FLOAT32)
        whole, rest = divmod(self.axis, lanes)
        parts = [emit.loop(whole, lambda i: body(i * lanes, lanes), "k")] if whole else []
        if rest:
            parts.append(emit.loop(rest, lambda i: body(i + whole * lanes, 1), "k"))
        return emit.seq(parts)

    def sweep(self, held: emit.Buffer, kind: str, at: _Vector, of: Transform) -> Stmt:
        """Merges every element along the axis, transformed by `of`, into the vector `held`."""

        def merge(k: Index) -> Stmt:
            value = of(self.read(at, k), at.width)
            return emit.store(held, _merge(kind, emit.load(held, [0], at.width), value), [0], at.width)

        return emit.loop(self.axis, merge, "k")

    def join(self, total: emit.Buffer, kind: str, outer: Index, of: Transform) -> Stmt:
        """Merges a row of the axis, transformed by `of`, into the scalar `total`."""
        lanes = min(self.target.lanes(FLOAT32), 2 ** int(math.log2(self.axis)))
        held = emit.local(lanes, "held")
        start = emit.const(_START[kind])

        def merge(k: Index, width: int) -> Stmt:
            value = of(self.read(_Vector(outer, 0, width), k), width)
            if width == 1:
                return emit.store(total, _merge(kind, emit.load(total, [0]), value), [0])
            return emit.store(held, _merge(kind, emit.load(held, [0], width), value), [0], width)

        def element(i: int) -> Stmt:
            return emit.store(total, _merge(kind, emit.load(total, [0]), emit.load(held, [i])), [0])

        body = [emit.store(total, start, [0]), self.vectors(merge)]
        if self.axis < self.target.lanes(FLOAT32):
            return emit.seq(body)
        filled = emit.store(held, emit.splat(start, lanes), [0], lanes)
        return emit.allocate([held], [filled, *body, *(element(i) for i in range(lanes))])
