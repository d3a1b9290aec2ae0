"""What attention computes, and where its operands are in memory.

For each index of the batch dimensions (images, heads): ``softmax(inner(Q · Kᵀ)) · V``. Each operand is a view of a flat
tensor, a start and a stride for each dimension, so that it may be part of another tensor, or have its heads anywhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.workload import Workload

Array = npt.NDArray[Any]
OWN = ("query", "key", "value")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a matrix for each index of the batch dimensions is in a flat tensor.

    Attributes:
        start: of the first element.
        batch: stride of each batch dimension.
        row, column: strides of the matrices; 0 repeats an element.
    """

    start: int
    batch: tuple[int, ...]
    row: int
    column: int

    @staticmethod
    def of(numbers: Sequence[int]) -> Place:
        """The place that a workload writes as ``(start, *batch, row, column)``."""
        start, *batch, row, column = numbers
        return Place(start, tuple(batch), row, column)

    def numbers(self) -> tuple[int, ...]:
        """The inverse of `of`."""
        return (self.start, *self.batch, self.row, self.column)

    def view(self, flat: Array, batch: tuple[int, ...], rows: int, columns: int) -> Array:
        """The matrices, ``(*batch, rows, columns)``, as a view of `flat`."""
        strides = tuple(stride * flat.itemsize for stride in (*self.batch, self.row, self.column))
        return np.lib.stride_tricks.as_strided(flat[self.start :], (*batch, rows, columns), strides)


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of an attention.

    Attributes:
        batch: sizes of the batch dimensions.
        queries, keys: rows of Q; rows of K and V.
        depth, width: columns of Q and K; columns of V and of the result.
    """

    batch: tuple[int, ...]
    queries: int
    keys: int
    depth: int
    width: int


def shape_of(workload: Workload) -> Shape:
    """The sizes of an ``attention`` workload."""
    queries, keys, depth, width = (workload.attr(name) for name in ("queries", "keys", "depth", "width"))
    return Shape(workload.attr("batch"), queries, keys, depth, width)


def places_of(workload: Workload) -> tuple[Place, ...]:
    """Where the workload's inputs are; an operand of `inner` has the keys as rows and the queries as columns."""
    numbers = workload.attr("operands")
    size = len(workload.attr("batch")) + 3
    groups = [numbers[first : first + size] for first in range(0, len(numbers), size)]
    return tuple(map(Place.of, (*(workload.attr(name) for name in OWN), *groups)))


def reach_of(workload: Workload) -> int | None:
    """How many keys beyond the one with its own number a query sees at most; None if it may see all of them."""
    reach = dict(workload.attrs).get("reach")
    assert reach is None or isinstance(reach, int)
    return reach


def result_of(workload: Workload) -> Place:
    """Where the result is in the workload's output."""
    return Place.of(workload.attr("result"))


def views_of(workload: Workload, inputs: Sequence[Array]) -> list[Array]:
    """Q, K, V, and the operands of `inner` as ``(*batch, queries, keys)``; all of them are views."""
    shape, places = shape_of(workload), places_of(workload)
    flat = [array.reshape(-1) for array in inputs]
    sizes = [(shape.queries, shape.depth), (shape.keys, shape.depth), (shape.keys, shape.width)]
    sizes += [(shape.keys, shape.queries)] * (len(places) - len(OWN))
    views = [place.view(array, shape.batch, *size) for place, array, size in zip(places, flat, sizes, strict=True)]
    return [*views[: len(OWN)], *(view.swapaxes(-1, -2) for view in views[len(OWN) :])]


def stored(workload: Workload, result: Array) -> Array:
    """The workload's output that holds `result`, ``(*batch, queries, width)``."""
    output = np.empty(workload.output.elements, result.dtype)
    shape = shape_of(workload)
    result_of(workload).view(output, shape.batch, shape.queries, shape.width)[...] = result
    return output.reshape(workload.output.shape)


def is_filled(workload: Workload) -> bool:
    """Whether the result covers each element of the output once."""
    shape, place = shape_of(workload), result_of(workload)
    dimensions = sorted(
        zip((*place.batch, place.row, place.column), (*shape.batch, shape.queries, shape.width), strict=True)
    )
    sizes = [size for stride, size in dimensions if size > 1]
    strides = [stride for stride, size in dimensions if size > 1]
    return place.start == 0 and strides == list(itertools.accumulate([1, *sizes], lambda a, b: a * b))[: len(sizes)]
