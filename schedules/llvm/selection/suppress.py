"""Non-maximum suppression: which boxes stay, in a result whose size does not depend on data.

The candidates of a class are sorted by their scores once. Then each is compared with the boxes kept so far, a vector of
them at a time, until one shares too much with it; it is kept if none does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Expr, Index, Stmt
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import declared, operands_of
from tvmopt.schedules.llvm.selection.kept_boxes import Box, KeptBoxes, named_box, rounded
from tvmopt.schedules.llvm.selection.keys import least_key
from tvmopt.schedules.llvm.selection.radix import Sorter
from tvmopt.schedules.llvm.selection.rows import Rows
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

_FEW = 24
"""Up to this many candidates are sorted by putting each in its place: sorting by radix costs a step for each bucket."""


class Suppress(NoKnobs):
    """The template: boxes ``(images, count, 4)``, scores ``(images, classes, count)``.

    The result says which boxes stay: in float32, like the scores, 1 where a box stays, else 0; or in int64
    ``(images, classes, most)``, their places, the best first, and -1 behind the last.

    ONNX's NonMaxSuppression, as onnxruntime computes it: of the boxes that are left, the one with the best score stays,
    of equal ones the first, and those go that share too much with it. NaN is no score.

    Attributes: ``most``, how many boxes of a class stay at most; ``overlap``, the part of the union that two boxes may
    share; ``limited`` and ``limit``: if the former, scores must be above the latter; ``center``: whether a box is
    its centre and its size, else two opposite corners.
    """

    name = "suppress"
    version = 2

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Boxes and scores in float32; fewer elements than indices of 32 bits can count."""
        if workload.op != self.name or workload.output.dtype not in ("float32", "int64"):
            return False
        known = all(tensor.dtype == "float32" and tensor.plain for tensor in workload.inputs)
        return known and max(tensor.elements for tensor in (*workload.inputs, workload.output)) < 1 << 31

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: a task is a class of an image."""
        (boxes, scores), result = operands_of(workload)
        images, classes, count = workload.inputs[1].shape
        rows = Rows(scores, result, count, 1, count, largest=True, lanes=target.lanes("float32"))
        body = declared(
            [boxes, scores, result], emit.parallel(images * classes, _Class(workload, rows, boxes.view).task)
        )
        return emit.kernel([x.parameter for x in (boxes, scores, result)], body, target.threads)


class _Class:
    """The boxes of one class."""

    def __init__(self, workload: Workload, rows: Rows, boxes: emit.View) -> None:
        self.rows, self.boxes = rows, boxes
        _, self.classes, self.count = workload.inputs[1].shape
        self.marks = workload.output.dtype == "float32"
        self.center = bool(workload.attr("center"))
        self.most = min(int(workload.attr("most")), self.count)
        self.bound = _bound(float(workload.attr("limit")) if workload.attr("limited") else None)
        self.sorter = Sorter(self.count, rows.key, rows.lanes)
        self.kept = KeptBoxes(self.most, rows.lanes, float(workload.attr("overlap")))
        self.number, self.next = (emit.local(1, name, "int32") for name in ("number", "next"))

    def task(self, task: Index) -> Stmt:
        """Writes the result of the class with the number `task`, counted through all images."""
        image, _ = emit.divmod_index(task, self.classes)
        size = self.count if self.marks else self.rows.result.tensor.shape[-1]
        blank = emit.const(0.0) if self.marks else emit.const(-1, "int64")

        def clear(first: Index, width: int) -> Stmt:
            return emit.store(self._result, emit.splat(blank, width), [0, 0, 0, 0, task * size + first], width)

        cleared = emit.in_vectors(size, (self.rows.lanes, 1), clear)
        if not self.most:
            return cleared
        buffers = (*self.sorter.buffers, *self.kept.buffers, self.number, self.next)
        chosen = self._choose(task * size, image * (self.count * 4))
        return emit.allocate(buffers, [cleared, *self._collect(task * self.count), *self._sort(), *chosen])

    @property
    def _result(self) -> emit.View:
        return self.rows.result.view

    def _collect(self, start: Index) -> list[Stmt]:
        """Collects the candidates: those with a score, and above the limit."""
        number, bound = emit.load(self.number, [0]), emit.const(self.bound, "int32")

        def take(key: Expr, place: Expr) -> Stmt:
            stores = [
                emit.store(self.sorter.key_list, key, [number]),
                emit.store(self.sorter.place_list, place, [number]),
                emit.store(self.number, number + 1, [0]),
            ]
            return tirx.IfThenElse(key > emit.const(_KEY_OF_NAN, "int32"), emit.seq(stores), None)

        zero = emit.store(self.number, emit.const(0, "int32"), [0])
        return [zero, self.rows.better(start, 0, lambda key: key < bound, take)]

    def _sort(self) -> list[Stmt]:
        """Sorts the candidates by their scores; equal ones stay in their order."""
        total = tirx.Var("candidates", "int32")
        few = tirx.IfThenElse(total <= _FEW, self._put_in_place(total), emit.seq(self.sorter.sort(total)))
        return [tirx.Bind(total, emit.load(self.number, [0])), few]

    def _put_in_place(self, total: Expr) -> Stmt:
        keys, places = self.sorter.key_list, self.sorter.place_list
        hole = emit.load(self.next, [0])

        def put(e: Index) -> Stmt:
            key, place = tirx.Var("key", "int32"), tirx.Var("place", "int32")
            before = tirx.max(hole - 1, emit.const(0, "int32"))
            move = [
                emit.store(keys, emit.load(keys, [hole - 1]), [hole]),
                emit.store(places, emit.load(places, [hole - 1]), [hole]),
                emit.store(self.next, hole - 1, [0]),
            ]
            return emit.seq(
                [
                    tirx.Bind(key, emit.load(keys, [e])),
                    tirx.Bind(place, emit.load(places, [e])),
                    emit.store(self.next, tirx.convert(e), [0]),
                    tirx.While(tirx.And(hole > 0, emit.load(keys, [before]) > key), emit.seq(move)),
                    emit.store(keys, key, [hole]),
                    emit.store(places, place, [hole]),
                ]
            )

        return emit.loop(total, put)

    def _choose(self, result: Index, boxes: Index) -> list[Stmt]:
        """Takes the candidates in their order, until enough boxes are kept."""
        total, nothing, place = (tirx.Var(name, "int32") for name in ("total", "nothing", "candidate"))
        index = emit.load(self.next, [0])
        box, facts = self._box(boxes, place, nothing)
        written = (
            emit.store(self._result, emit.const(1.0), [0, 0, 0, 0, result + place])
            if self.marks
            else emit.store(self._result, place.astype("int64"), [0, 0, 0, 0, result + self.kept.count()])
        )
        step = [
            tirx.Bind(place, emit.load(self.sorter.place_list, [index])),
            emit.store(self.next, index + 1, [0]),
            *facts,
            self.kept.look(box, nothing),
            tirx.IfThenElse(self.kept.shares(), emit.seq([]), emit.seq([written, self.kept.add(box)])),
        ]
        return [
            tirx.Bind(total, emit.load(self.number, [0])),
            tirx.Bind(nothing, tirx.min(total, emit.const(0, "int32"))),
            self.kept.begin(),
            emit.store(self.next, emit.const(0, "int32"), [0]),
            tirx.While(tirx.And(index < total, self.kept.count() < self.most), emit.seq(step)),
        ]

    def _box(self, boxes: Index, place: Index, nothing: Expr) -> tuple[Box, list[Stmt]]:
        """A box, and the statements that find it."""
        numbers = [tirx.Var(f"number_{i}", "float32") for i in range(4)]
        facts = [
            tirx.Bind(number, emit.load(self.boxes, [0, 0, 0, 0, boxes + place * 4 + i]))
            for i, number in enumerate(numbers)
        ]
        ends: list[tuple[Expr, Expr]] = []
        for axis in range(2):
            first, second = numbers[axis], numbers[axis + 2]
            if self.center:
                half = second / emit.const(2.0)
                low, high = first - half, first + half
            else:
                low, high = (tirx.Select(first >= second, *pair) for pair in ((second, first), (first, second)))
            names = tirx.Var(f"from_{axis}", "float32"), tirx.Var(f"to_{axis}", "float32")
            facts += [tirx.Bind(name, value) for name, value in zip(names, (low, high), strict=True)]
            ends.append(names)
        lows, highs = ((ends[0][side], ends[1][side]) for side in range(2))
        area = rounded((highs[0] - lows[0]) * (highs[1] - lows[1]), nothing)
        box, named = named_box(Box(lows, highs, area), 1, "own")
        return box, [*facts, *named]


_KEY_OF_NAN = least_key("float32")
"""The key of every NaN where the largest are the best."""


def _bound(limit: float | None) -> int:
    """What the keys of candidates are below: those of scores above `limit`, or of all numbers."""
    if limit is None:
        return _key(-np.inf) + 1
    return _KEY_OF_NAN if np.isnan(limit) else _key(limit)


def _key(number: float) -> int:
    """The key of a number, as `key_of` computes it where the largest are the best."""
    bits = int(np.float32(number).view(np.int32))
    size = bits & (1 << 31) - 1
    return ~(0 if not size else bits if bits >= 0 else bits ^ (1 << 31) - 1)
