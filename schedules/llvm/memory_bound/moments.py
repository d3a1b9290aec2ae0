"""Mean and variance of long rows, as exact as float32 allows.

A row is read in chunks that stay in the first-level cache. Of each chunk several accumulators give the sum, and from
its mean a second sweep gives the squared deviations: sums of squares minus squares of sums would cancel. Chunks are
merged in float64, which costs a few operations for each (T. Chan, G. Golub, R. LeVeque, Updating formulae and a
pairwise algorithm for computing sample variances, 1979).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Buffer, Index, Stmt

tirx = lazily("tvm.tirx")

PARTIALS = 4
"""Accumulators of a sum: enough to hide the latency of the addition."""
CHUNK = 2048
"""Elements of a chunk: 8 KiB, a fraction of the first-level cache."""

Transform = Callable[[emit.Expr, int], emit.Expr]
"""A function of a vector, which gets the vector and its width."""


class Moments(NamedTuple):
    """Two buffers: the mean and the sum of squared deviations, of `lanes` rows side by side.

    Without centring, the mean is not used and the deviations are those from zero.
    """

    mean: Buffer
    squares: Buffer
    lanes: int
    centred: bool

    @staticmethod
    def local(lanes: int, centred: bool, name: str, dtype: str = "float32") -> Moments:
        """New buffers, to be allocated."""
        return Moments(
            emit.local(lanes, f"{name}_mean", dtype), emit.local(lanes, f"{name}_squares", dtype), lanes, centred
        )

    @property
    def buffers(self) -> list[Buffer]:
        """The buffers in use."""
        return [self.mean, self.squares] if self.centred else [self.squares]

    def of_chunk(self, size: int, total: Callable[[Transform, Buffer], Stmt]) -> Stmt:
        """The moments of one chunk.

        Args:
            size: elements of each row in the chunk.
            total: stores the sum of the chunk's elements, each transformed, into a buffer of `lanes`.
        """
        if not self.centred:
            return total(lambda x, _: x * x, self.squares)
        lanes = self.lanes
        mean = emit.load(self.mean, [0], lanes) * emit.splat(emit.const(1.0 / size), lanes)

        def squared(x: emit.Expr, width: int) -> emit.Expr:
            middle = emit.load(self.mean, [0], lanes)
            deviation = x - (middle if lanes == width else emit.splat(middle, width))
            return deviation * deviation

        first = total(lambda x, _: x, self.mean)
        return emit.seq([first, emit.store(self.mean, mean, [0], lanes), total(squared, self.squares)])

    def clear(self) -> list[Stmt]:
        """The moments of nothing."""
        zero = emit.splat(emit.const(0.0, str(self.squares.dtype)), self.lanes)
        return [emit.store(buffer, zero, [0], self.lanes) for buffer in self.buffers]

    def merge(self, part: Moments, before: Index, size: Index) -> list[Stmt]:
        """Adds the moments `part`, of `size` elements in float32, to these, of `before` elements in float64."""
        more = emit.load(self.squares, [0], self.lanes) + self._wide(emit.load(part.squares, [0], self.lanes))
        if not self.centred:
            return [emit.store(self.squares, more, [0], self.lanes)]
        held = emit.load(self.mean, [0], self.lanes)
        delta = tirx.Var("delta", "float64" if self.lanes == 1 else f"float64x{self.lanes}")
        share = _double(size) / (_double(before) + _double(size))
        weight = emit.splat(_double(before) * share, self.lanes)
        return [
            tirx.Bind(delta, self._wide(emit.load(part.mean, [0], self.lanes)) - held),
            emit.store(self.squares, more + delta * delta * weight, [0], self.lanes),
            emit.store(self.mean, held + delta * emit.splat(share, self.lanes), [0], self.lanes),
        ]

    def narrowed(self, into: Moments) -> list[Stmt]:
        """Stores these moments as float32."""
        kind = "float32" if self.lanes == 1 else f"float32x{self.lanes}"
        pairs = zip(self.buffers, into.buffers, strict=True)
        return [
            emit.store(narrow, tirx.Cast(kind, emit.load(wide, [0], self.lanes)), [0], self.lanes)
            for wide, narrow in pairs
        ]

    def _wide(self, value: emit.Expr) -> emit.Expr:
        return tirx.Cast("float64" if self.lanes == 1 else f"float64x{self.lanes}", value)


def inverse_deviation(squares: emit.Expr, count: int, epsilon: float, lanes: int = 1) -> emit.Expr:
    """``1 / sqrt(squares / count + epsilon)``."""
    variance = squares * emit.splat(emit.const(1.0 / count), lanes) + emit.splat(emit.const(epsilon), lanes)
    return emit.splat(emit.const(1.0), lanes) / tirx.sqrt(variance)


def sum_along(size: int, lanes: int, read: Callable[[Index, int], emit.Expr], into: Buffer) -> Stmt:
    """The sum of a row, in vectors along it.

    Args:
        size: elements of the row.
        lanes: elements of a vector.
        read: some neighbouring elements, given the first and how many.
        into: gets the sum as its only element.
    """
    vectors = min(PARTIALS, size // lanes)
    sums = [emit.local(lanes, f"sum_{i}") for i in range(vectors)]

    def add(buffer: Buffer, value: emit.Expr, width: int) -> Stmt:
        return emit.store(buffer, emit.load(buffer, [0], width) + value, [0], width)

    def some(first: Index, count: int) -> Stmt:
        return emit.seq(add(sums[i], read(first + i * lanes, lanes), lanes) for i in range(count // lanes))

    body = [emit.store(buffer, emit.splat(emit.const(0.0), lanes), [0], lanes) for buffer in sums]
    whole = size // lanes * lanes
    if whole:
        body.append(emit.split_loop(whole, vectors * lanes, some))
    value = (
        emit.lanes_sum(_tree([emit.load(buffer, [0], lanes) for buffer in sums]), lanes) if sums else emit.const(0.0)
    )
    body.append(emit.store(into, value, [0]))
    if size > whole:
        body.append(emit.loop(size - whole, lambda i: add(into, read(whole + i, 1), 1)))
    return emit.allocate(sums, body)


def sum_across(sizes: tuple[int, int], lanes: int, read: Callable[[Index, Index], emit.Expr], into: Buffer) -> Stmt:
    """The sums of `lanes` maps side by side.

    Args:
        sizes: rows and columns.
        lanes: maps.
        read: the vector at a row and column.
        into: gets the sums.
    """
    rows, columns = sizes
    count = min(PARTIALS, columns)
    sums = [emit.local(lanes, f"sum_{i}") for i in range(count)]

    def some(row: Index, first: Index, pixels: int) -> Stmt:
        return emit.seq(
            emit.store(sums[i], emit.load(sums[i], [0], lanes) + read(row, first + i), [0], lanes)
            for i in range(pixels)
        )

    def line(row: Index) -> Stmt:
        return emit.split_loop(columns, count, lambda first, pixels: some(row, first, pixels))

    body = [emit.store(buffer, emit.splat(emit.const(0.0), lanes), [0], lanes) for buffer in sums]
    total = _tree([emit.load(buffer, [0], lanes) for buffer in sums])
    return emit.allocate(sums, [*body, emit.loop(rows, line), emit.store(into, total, [0], lanes)])


def _tree(values: list[emit.Expr]) -> emit.Expr:
    while len(values) > 1:
        values = [sum(values[i + 1 : i + 2], values[i]) for i in range(0, len(values), 2)]
    return values[0]


def _double(value: Index) -> emit.Expr:
    return emit.const(value, "float64") if isinstance(value, int) else tirx.Cast("float64", value)
