"""Small constant matrices applied to vectors in registers; sums that rows share are computed once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.compute.typed import TypedMath
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Expr, Stmt

Matrix = npt.NDArray[np.float64]
Sparse = tuple[tuple[int, float], ...]
"""Positions and factors of a sum's terms."""


@dataclass(frozen=True, slots=True)
class LinearMap:
    """Sums of the inputs, then sums of these: two sparse matrices in place of one full one.

    Attributes:
        first: sums of inputs.
        second: the results, as sums of the first sums.
    """

    first: tuple[Sparse, ...]
    second: tuple[Sparse, ...]


def shared_rows(matrix: Matrix, pairs: Sequence[tuple[int, int]]) -> LinearMap:
    """The map of `matrix`, where the rows of a pair are the sum and the difference of the same two parts."""
    first: list[Sparse] = []
    second: dict[int, Sparse] = {}
    for one, other in pairs:
        first += [_terms((matrix[one] + matrix[other]) / 2), _terms((matrix[one] - matrix[other]) / 2)]
        second[one] = ((len(first) - 2, 1.0), (len(first) - 1, 1.0))
        second[other] = ((len(first) - 2, 1.0), (len(first) - 1, -1.0))
    for row in range(len(matrix)):
        if row not in second:
            first.append(_terms(matrix[row]))
            second[row] = ((len(first) - 1, 1.0),)
    return LinearMap(tuple(first), tuple(second[row] for row in range(len(matrix))))


def shared_columns(matrix: Matrix, pairs: Sequence[tuple[int, int]]) -> LinearMap:
    """The map of `matrix`, where the columns of a pair differ only in signs: inputs are added and subtracted first."""
    first: list[Sparse] = []
    columns: list[npt.NDArray[np.float64]] = []
    for one, other in pairs:
        first += [((one, 1.0), (other, 1.0)), ((one, 1.0), (other, -1.0))]
        columns += [(matrix[:, one] + matrix[:, other]) / 2, (matrix[:, one] - matrix[:, other]) / 2]
    paired = {index for pair in pairs for index in pair}
    for column in range(matrix.shape[1]):
        if column not in paired:
            first.append(((column, 1.0),))
            columns.append(matrix[:, column])
    combined = np.stack(columns, axis=1)
    return LinearMap(tuple(first), tuple(_terms(row) for row in combined))


@dataclass(frozen=True, slots=True)
class Line:
    """The vectors that a map is applied to.

    Attributes:
        lanes: its elements.
        dtype: their type; integers wrap.
    """

    lanes: int
    dtype: str = FLOAT32

    @property
    def is_float(self) -> bool:
        """Whether a product and a sum are one operation."""
        return self.dtype == FLOAT32


def map_lines(rule: LinearMap, values: Sequence[Expr], store: Callable[[int, Expr], Stmt | None], line: Line) -> Stmt:
    """Applies `rule` to vectors.

    Args:
        rule: the map.
        values: the inputs; each is evaluated once.
        store: takes a result's position and value; returns None to leave it out.
        line: what the vectors are.
    """
    inputs = [emit.local(line.lanes, f"line_{i}", line.dtype) for i in range(len(values))]
    sums = [emit.local(line.lanes, f"part_{i}", line.dtype) for i in range(len(rule.first))]
    body = [emit.store(buffer, value, [0], line.lanes) for buffer, value in zip(inputs, values, strict=True)]
    body += [
        emit.store(buffer, _sum(terms, inputs, line), [0], line.lanes)
        for buffer, terms in zip(sums, rule.first, strict=True)
    ]
    stores = (store(i, _sum(terms, sums, line)) for i, terms in enumerate(rule.second))
    body += [statement for statement in stores if statement is not None]
    return emit.allocate([*inputs, *sums], body)


def _terms(row: npt.NDArray[np.float64]) -> Sparse:
    return tuple((int(i), float(row[i])) for i in np.flatnonzero(row))


def _sum(terms: Sparse, buffers: Sequence[emit.Buffer], line: Line) -> Expr:
    """The sum of factor × vector; a factor of one costs nothing, minus one a subtraction."""
    # A term without a factor comes first, so that every other one is a fused multiply-add.
    ordered = sorted(terms, key=lambda term: (term[1] != 1.0, abs(term[1]) != 1.0))
    if not line.is_float:
        return _integer_sum(ordered, buffers, line)
    total: Expr = None
    for index, factor in ordered:
        vector = emit.load(buffers[index], [0], line.lanes)
        if total is None:
            total = vector if factor == 1.0 else vector * emit.splat(emit.const(factor), line.lanes)
        elif abs(factor) == 1.0:
            total = total + vector if factor > 0 else total - vector
        else:
            total = total + vector * emit.splat(emit.const(factor), line.lanes)
    return total


def _integer_sum(terms: Sequence[tuple[int, float]], buffers: Sequence[emit.Buffer], line: Line) -> Expr:
    """The same of integers; a factor that all terms have multiplies the sum."""
    math = TypedMath(line.lanes)
    common = gcd(*(int(factor) for _, factor in terms))

    def combined(x: Expr, y: Expr, function: Callable[[Expr, Expr], Expr]) -> Expr:
        # Of fewer bits, TVM lets all integers wrap.
        return math.wrapped(x, y, function) if line.dtype == "int32" else function(x, y)

    def scaled(vector: Expr, factor: int) -> Expr:
        return vector if factor == 1 else combined(vector, math.number(factor, line.dtype), operator.mul)

    total: Expr = None
    for index, factor in terms:
        vector, own = emit.load(buffers[index], [0], line.lanes), int(factor) // common
        if total is None:
            total = scaled(vector, own)
        else:
            total = combined(total, scaled(vector, abs(own)), operator.add if own > 0 else operator.sub)
    return scaled(total, common)
