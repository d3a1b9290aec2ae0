"""Non-maximum suppression: marks the boxes that stay, so that the result has a size that does not depend on data."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Expr, Index, Stmt
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import declared, operands_of
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")


class Suppress(NoKnobs):
    """The template: boxes ``(images, count, 4)``, scores ``(images, classes, count)``, result like the scores.

    The result is 1 where a box stays, else 0. ONNX's NonMaxSuppression, as onnxruntime computes it: of the boxes that
    are left, the one with the best score stays, of equal ones the first, and those go that share too much with it. NaN
    is no score.

    Attributes: ``most``, how many boxes of a class stay at most; ``overlap``, the part of the union that two boxes may
    share; ``limited`` and ``limit``: if the former, scores must be above the latter; ``center``: whether a box is
    its centre and its size, else two opposite corners.
    """

    name = "suppress"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Boxes and scores in float32; fewer elements than indices of 32 bits can count."""
        if workload.op != self.name or workload.output.dtype != "float32":
            return False
        known = all(tensor.dtype == "float32" and tensor.plain for tensor in workload.inputs)
        return known and max(tensor.elements for tensor in workload.inputs) < 1 << 31

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: a task is a class of an image."""
        (boxes, scores), result = operands_of(workload)
        images, classes, _ = workload.inputs[1].shape
        row = _Row(workload, target.lanes("float32"), (boxes.view, scores.view, result.view))
        body = declared([boxes, scores, result], emit.parallel(images * classes, row.mark))
        return emit.kernel([x.parameter for x in (boxes, scores, result)], body, target.threads)


class _Side(NamedTuple):
    """Where a box begins and ends on one axis."""

    low: Expr
    high: Expr


class _Row:
    """The boxes of one class that are left, in their order, and which of them is the best."""

    def __init__(self, workload: Workload, lanes: int, views: tuple[emit.View, emit.View, emit.View]) -> None:
        self.boxes, self.scores, self.result = views
        self.lanes = lanes
        _, self.classes, self.count = workload.inputs[1].shape
        self.rounds = min(int(workload.attr("most")), self.count)
        self.overlap = float(workload.attr("overlap"))
        self.limit = float(workload.attr("limit")) if workload.attr("limited") else None
        self.center = bool(workload.attr("center"))
        self.left = emit.local(self.count, "left", "int32")
        self.number, self.best = (emit.local(1, name, "int32") for name in ("number", "best"))
        self.best_score = emit.local(1, "best_score", "float32")

    def mark(self, task: Index) -> Stmt:
        """Marks the boxes of the class with the number `task`, counted through all images."""
        image, _ = emit.divmod_index(task, self.classes)
        start, boxes = task * self.count, image * (self.count * 4)

        def blank(first: Index, width: int) -> Stmt:
            zero = emit.splat(emit.const(0.0), width)
            return emit.store(self.result, zero, [0, 0, 0, 0, start + first], width)

        def begin(place: Index) -> Stmt:
            score = tirx.Var("score", "float32")
            # Without a limit, all numbers are enough; NaN is not.
            lowest = score >= emit.const(-math.inf)
            enough = lowest if self.limit is None else score > emit.const(self.limit)
            loaded = emit.load(self.scores, [0, 0, 0, 0, start + place])
            return emit.seq([tirx.Bind(score, loaded), tirx.IfThenElse(enough, self._keep(place, score), None)])

        def round_(_: Index) -> Stmt:
            some = emit.load(self.best, [0]) >= emit.const(0, "int32")
            return tirx.IfThenElse(some, self._take_best(start, boxes), None)

        body = [
            emit.in_vectors(self.count, (self.lanes, 1), blank),
            *self._clear(),
            emit.loop(self.count, begin),
            *([emit.loop(self.rounds, round_)] if self.rounds else []),
        ]
        return emit.allocate([self.left, self.number, self.best, self.best_score], body)

    def _clear(self) -> list[Stmt]:
        nothing = emit.store(self.best, emit.const(-1, "int32"), [0])
        return [
            emit.store(self.number, emit.const(0, "int32"), [0]),
            nothing,
            emit.store(self.best_score, emit.const(0.0), [0]),
        ]

    def _keep(self, place: Index, score: Expr) -> Stmt:
        """Adds a box to those that are left."""
        number, best = emit.load(self.number, [0]), emit.load(self.best, [0])
        better = tirx.Or(best < emit.const(0, "int32"), score > emit.load(self.best_score, [0]))
        place = tirx.convert(place)
        is_best = [emit.store(self.best, place, [0]), emit.store(self.best_score, score, [0])]
        return emit.seq(
            [
                emit.store(self.left, place, [number]),
                emit.store(self.number, number + 1, [0]),
                tirx.IfThenElse(better, emit.seq(is_best), None),
            ]
        )

    def _take_best(self, start: Index, boxes: Index) -> Stmt:
        """Marks the best box that is left; it and those that share too much with it are left no more."""
        chosen, total = tirx.Var("chosen", "int32"), tirx.Var("total", "int32")
        sides, facts = self._sides(boxes, chosen, "chosen")
        nothing = tirx.Var("nothing", "int32")

        def other(e: Index) -> Stmt:
            place, score = tirx.Var("place", "int32"), tirx.Var("score", "float32")
            own, bound = self._sides(boxes, place, "other")
            shares, more = self._shares(own, sides, nothing)
            # A number, since TVM turns a comparison's opposite into another comparison, which NaN fails, too.
            goes = tirx.Var("goes", "int32")
            stays = tirx.And(tirx.NE(place, chosen), tirx.EQ(goes, emit.const(0, "int32")))
            return emit.seq(
                [
                    tirx.Bind(place, emit.load(self.left, [e])),
                    tirx.Bind(score, emit.load(self.scores, [0, 0, 0, 0, start + place])),
                    *bound,
                    *more,
                    tirx.Bind(goes, tirx.Select(shares, emit.const(1, "int32"), emit.const(0, "int32"))),
                    tirx.IfThenElse(stays, self._keep(place, score), None),
                ]
            )

        return emit.seq(
            [
                tirx.Bind(chosen, emit.load(self.best, [0])),
                tirx.Bind(total, emit.load(self.number, [0])),
                tirx.Bind(nothing, tirx.min(total, emit.const(0, "int32"))),
                emit.store(self.result, emit.const(1.0), [0, 0, 0, 0, start + chosen]),
                *facts,
                *self._clear(),
                emit.loop(total, other),
            ]
        )

    def _sides(self, boxes: Index, place: Index, name: str) -> tuple[tuple[_Side, _Side], list[Stmt]]:
        """A box on both axes, and the statements that find it."""
        numbers = [tirx.Var(f"{name}_{i}", "float32") for i in range(4)]
        facts = [
            tirx.Bind(number, emit.load(self.boxes, [0, 0, 0, 0, boxes + place * 4 + i]))
            for i, number in enumerate(numbers)
        ]
        sides = []
        for axis in range(2):
            first, second = numbers[axis], numbers[axis + 2]
            if self.center:
                half = second / emit.const(2.0)
                side = _Side(first - half, first + half)
            else:
                side = _Side(tirx.Select(first >= second, second, first), tirx.Select(first >= second, first, second))
            ends = _Side(*(tirx.Var(f"{name}_{end}_{axis}", "float32") for end in ("low", "high")))
            facts += [tirx.Bind(end, value) for end, value in zip(ends, side, strict=True)]
            sides.append(ends)
        return (sides[0], sides[1]), facts

    def _shares(self, one: tuple[_Side, _Side], two: tuple[_Side, _Side], nothing: Expr) -> tuple[Expr, list[Stmt]]:
        """Whether two boxes share too much, and the statements before; false where a number is NaN.

        Products are rounded before they are added, as onnxruntime does it: overlaps may be equal to the limit.
        `nothing` is 0, which the compiler cannot know: it would else join products and sums.
        """

        def rounded(product: Expr) -> Expr:
            return tirx.reinterpret("float32", tirx.reinterpret("int32", product) + nothing)

        zero, shared = emit.const(0.0), []
        for a, b in zip(one, two, strict=True):
            low, high = tirx.Select(a.low < b.low, b.low, a.low), tirx.Select(b.high < a.high, b.high, a.high)
            shared.append(high - low)
        names = [tirx.Var(name, "float32") for name in ("rows", "columns", "both", "area", "other_area", "union")]
        rows, columns, both, area, other_area, union = names
        values = [
            *shared,
            rounded(rows * columns),
            *(rounded((box[0].high - box[0].low) * (box[1].high - box[1].low)) for box in (one, two)),
            area + other_area - both,
        ]
        facts = [tirx.Bind(name, value) for name, value in zip(names, values, strict=True)]
        positive = tirx.const(True, "bool")
        for value in names:
            positive = tirx.And(positive, value > zero)
        return tirx.And(positive, both / union > emit.const(self.overlap)), facts
