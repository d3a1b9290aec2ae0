"""The boxes that non-maximum suppression has kept so far: whether a further one shares too much with any of them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Expr, Index, Stmt

tirx = lazily("tvm.tirx")

_LESS = 1 - 2**-18
"""What a limit is multiplied by, so that no rounding hides a pair that may be above it."""


class Box(NamedTuple):
    """Boxes in the lanes of vectors, or one: where they begin and end on both axes, and their areas."""

    lows: tuple[Expr, Expr]
    highs: tuple[Expr, Expr]
    area: Expr


class KeptBoxes:
    """A list of boxes, a plane for each of their five numbers; a vector that is not full ends in boxes of no area."""

    def __init__(self, room: int, lanes: int, overlap: float) -> None:
        self.lanes, self.overlap = lanes, overlap
        self.size = math.ceil(max(room, 1) / lanes) * lanes
        # One buffer, since our runtime has few to give.
        self.planes = emit.local(5 * self.size, "kept_boxes")
        self.number, self.block, self.found = (emit.local(1, name, "int32") for name in ("kept", "block", "found"))
        self.buffers = (self.planes, self.number, self.block, self.found)

    def begin(self) -> Stmt:
        """Empties the list."""
        return emit.store(self.number, emit.const(0, "int32"), [0])

    def count(self) -> Expr:
        """How many boxes are kept."""
        return emit.load(self.number, [0])

    def add(self, box: Box) -> Stmt:
        """Keeps a box."""
        number = tirx.Var("place", "int32")
        zero = emit.splat(emit.const(0.0), self.lanes)
        blank = emit.seq([emit.store(self.planes, zero, [start + number], self.lanes) for start in self._starts])
        values = (*box.lows, *box.highs, box.area)
        return emit.seq(
            [
                tirx.Bind(number, self.count()),
                tirx.IfThenElse(tirx.EQ(tirx.floormod(number, self.lanes), 0), blank, None),
                *(
                    emit.store(self.planes, value, [at + number])
                    for at, value in zip(self._starts, values, strict=True)
                ),
                emit.store(self.number, number + 1, [0]),
            ]
        )

    def look(self, box: Box, nothing: Expr) -> Stmt:
        """Finds out whether `box` shares too much with a box that is kept: then `shares` holds.

        Args:
            box: one box.
            nothing: as `rounded` takes it.
        """
        block, blocks = emit.load(self.block, [0]), tirx.Var("blocks", "int32")
        going = tirx.And(block < blocks, tirx.Not(self.shares()))
        first = tirx.Var("first", "int32")
        some = emit.seq(
            [
                tirx.Bind(first, block * self.lanes),
                emit.store(self.block, block + 1, [0]),
                *self._compare(box, first, nothing),
            ]
        )
        return emit.seq(
            [
                tirx.Bind(blocks, tirx.floordiv(self.count() + (self.lanes - 1), self.lanes)),
                emit.store(self.block, emit.const(0, "int32"), [0]),
                emit.store(self.found, emit.const(0, "int32"), [0]),
                tirx.While(going, some),
            ]
        )

    def shares(self) -> Expr:
        """Whether `look` found a box that shares too much."""
        return tirx.NE(emit.load(self.found, [0]), emit.const(0, "int32"))

    @property
    def _starts(self) -> list[int]:
        return [plane * self.size for plane in range(5)]

    def _compare(self, one: Box, first: Index, nothing: Expr) -> list[Stmt]:
        """Compares a box with a vector of those kept: NaN in any number means that nothing is shared.

        A product tells most pairs that share little; only if it finds others, there is a division.
        """
        lanes = self.lanes
        low_0, low_1, high_0, high_1, area = (emit.load(self.planes, [at + first], lanes) for at in self._starts)
        loaded = Box((low_0, low_1), (high_0, high_1), area)
        two, facts = named_box(loaded, lanes, "kept")
        shared = []
        for axis in range(2):
            low, high = emit.splat(one.lows[axis], lanes), emit.splat(one.highs[axis], lanes)
            from_, to = two.lows[axis], two.highs[axis]
            shared.append(tirx.Select(to < high, to, high) - tirx.Select(low < from_, from_, low))
        kind = _vector("float32", lanes)
        rows, columns, both, union = (tirx.Var(name, kind) for name in ("rows", "columns", "both", "union"))
        own = emit.splat(one.area, lanes)
        facts += [
            *(tirx.Bind(name, value) for name, value in zip((rows, columns), shared, strict=True)),
            tirx.Bind(both, rounded(rows * columns, nothing, lanes)),
            tirx.Bind(union, own + two.area - both),
        ]
        zero = emit.splat(emit.const(0.0), lanes)
        real = tirx.const(True, "bool")
        for value in (rows, columns, both, own, two.area, union):
            real = value > zero if value is rows else tirx.And(real, value > zero)
        likely = tirx.And(real, both >= union * emit.splat(emit.const(self.overlap * _LESS), lanes))
        certain = tirx.And(real, both / union > emit.splat(emit.const(self.overlap), lanes))
        exact = emit.store(self.found, _any(certain, lanes), [0])
        some = tirx.NE(_any(likely, lanes), emit.const(0, "int32"))
        return [*facts, tirx.IfThenElse(some, exact, None)]


def rounded(product: Expr, nothing: Expr, lanes: int = 1) -> Expr:
    """A product that is rounded before it is added to anything, as onnxruntime's are: overlaps may equal the limit.

    Args:
        product: in float32.
        nothing: 0, which the compiler cannot know; it would else join products and sums.
        lanes: how many products.
    """
    bits = tirx.reinterpret(_vector("int32", lanes), product) + emit.splat(nothing, lanes)
    return tirx.reinterpret(_vector("float32", lanes), bits)


def named_box(box: Box, lanes: int, name: str) -> tuple[Box, list[Stmt]]:
    """`box` with its numbers under names, and the statements that compute them."""
    kind, facts = _vector("float32", lanes), []

    def bound(value: Expr, what: str) -> Any:
        variable = tirx.Var(f"{name}_{what}", kind)
        facts.append(tirx.Bind(variable, value))
        return variable

    lows = bound(box.lows[0], "low_0"), bound(box.lows[1], "low_1")
    highs = bound(box.highs[0], "high_0"), bound(box.highs[1], "high_1")
    return Box(lows, highs, bound(box.area, "area")), facts


def _any(condition: Expr, lanes: int) -> Expr:
    """1 if `condition` holds in any lane, else 0."""
    one, zero = (emit.splat(emit.const(value, "int32"), lanes) for value in (1, 0))
    found = tirx.Select(condition, one, zero)
    return found if lanes == 1 else tirx.call_llvm_pure_intrin("int32", "llvm.vector.reduce.or", found)


def _vector(dtype: str, lanes: int) -> str:
    return dtype if lanes == 1 else f"{dtype}x{lanes}"
