"""Small constant matrices applied to vectors in registers; sums that rows share are computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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


def map_lines(rule: LinearMap, values: Sequence[Expr], store: Callable[[int, Expr], Stmt | None], lanes: int) -> Stmt:
    """Applies `rule` to vectors.

    Args:
        rule: the map.
        values: the inputs; each is evaluated once.
        store: takes a result's position and value; returns None to leave it out.
        lanes: elements of a vector.
    """
    inputs = [emit.local(lanes, f"line_{i}") for i in range(len(values))]
    sums = [emit.local(lanes, f"part_{i}") for i in range(len(rule.first))]
    body = [emit.store(buffer, value, [0], lanes) for buffer, value in zip(inputs, values, strict=True)]
    body += [
        emit.store(buffer, _sum(terms, inputs, lanes), [0], lanes)
        for buffer, terms in zip(sums, rule.first, strict=True)
    ]
    stores = (store(i, _sum(terms, sums, lanes)) for i, terms in enumerate(rule.second))
    body += [statement for statement in stores if statement is not None]
    return emit.allocate([*inputs, *sums], body)


def _terms(row: npt.NDArray[np.float64]) -> Sparse:
    return tuple((int(i), float(row[i])) for i in np.flatnonzero(row))


def _sum(terms: Sparse, buffers: Sequence[emit.Buffer], lanes: int) -> Expr:
    """The sum of factor × vector; a factor of one costs nothing, minus one a subtraction."""
    # A term without a factor comes first, so that every other one is a fused multiply-add.
    ordered = sorted(terms, key=lambda term: (term[1] != 1.0, abs(term[1]) != 1.0))
    total: Expr = None
    for index, factor in ordered:
        vector = emit.load(buffers[index], [0], lanes)
        if total is None:
            total = vector if factor == 1.0 else vector * emit.splat(emit.const(factor), lanes)
        elif abs(factor) == 1.0:
            total = total + vector if factor > 0 else total - vector
        else:
            total = total + vector * emit.splat(emit.const(factor), lanes)
    return total
