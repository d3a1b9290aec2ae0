"""The operators that choose elements: each writes its choice into a tensor of the largest size, and counts it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import onnx

from tvmopt.pipeline.importers.onnx_form.building.counted.functions import FIRST_PLACES, ORDERED_BOXES
from tvmopt.pipeline.importers.onnx_form.building.counted.types import Counted
from tvmopt.pipeline.importers.onnx_form.building.suppression import DOMAIN
from tvmopt.pipeline.importers.onnx_form.rewrites.draft import (
    Draft,
    NotKnownError,
    attributes_of,
    input_of,
    output_of,
)

Source = Callable[[Draft, onnx.NodeProto], dict[str, Counted]]
"""Adds what replaces a node to the draft; returns its outputs whose sizes are found at run time, by name.

Raises:
    NotKnownError: a shape or constant is not known that is needed.
"""


def first_places(draft: Draft, mask: str) -> tuple[str, str]:
    """The places of the true elements of ``mask (count)``, zeros behind them, and how many there are, ``(1)``."""
    if draft.is_constant(mask):
        (found,) = np.nonzero(draft.constant(mask))
        return draft.store(np.pad(found, (0, draft.shape(mask)[0] - found.size))), draft.ints(found.size)
    places = draft.add(FIRST_PLACES, mask, domain=DOMAIN)
    return places, draft.reduce("ReduceSum", draft.cast(mask, np.int64), [0])


def non_zero(draft: Draft, node: onnx.NodeProto) -> dict[str, Counted]:
    """NonZero: a row of coordinates for each axis. NaN is not zero."""
    data, (output,) = node.input[0], node.output
    shape = draft.shape(data)
    size = math.prod(shape)
    if not shape or not size:
        raise NotKnownError(data)
    places, count = first_places(draft, draft.reshape(_true(draft, data), [size]))
    rows = [draft.reshape(row, [1, size]) for row in _coordinates(draft, places, shape)]
    room = draft.add("Concat", *rows, axis=0) if len(rows) > 1 else rows[0]
    return {output: Counted(room, (len(shape), size), 1, count)}


def compress(draft: Draft, node: onnx.NodeProto) -> dict[str, Counted]:
    """Compress: slices along an axis, or elements, where a condition holds; it may be shorter than the axis."""
    data, condition, (output,) = node.input[0], node.input[1], node.output
    shape, axis = draft.shape(data), attributes_of(node).get("axis")
    if axis is None:
        data, shape, axis = draft.reshape(data, [math.prod(shape)]), (math.prod(shape),), 0
    axis %= len(shape)
    length = math.prod(draft.shape(condition))
    if len(draft.shape(condition)) != 1 or not 0 < length <= shape[axis]:
        raise NotKnownError(condition)
    if draft.is_constant(condition):
        (chosen,) = np.nonzero(draft.constant(condition))
        if not chosen.size:
            raise NotKnownError(condition)
        draft.give(output, draft.take(data, chosen, axis))
        return {}
    places, count = first_places(draft, condition)
    room = draft.add("Gather", data, places, axis=axis)
    return {output: Counted(room, (*shape[:axis], length, *shape[axis + 1 :]), axis, count)}


def suppression(draft: Draft, node: onnx.NodeProto) -> dict[str, Counted]:
    """NonMaxSuppression: image, class and place of each box that stays, class by class, the best first."""
    images, classes, count = draft.shape(node.input[1])
    most, overlap = (_number(draft, input_of(node, place)) for place in (2, 3))
    rounds = min(int(most), count)
    limit = input_of(node, 4)
    if rounds < 1 or not 0 <= overlap <= 1 or (limit and not draft.is_constant(limit)):
        raise NotKnownError(node.output[0])
    limits = draft.ints(rounds), draft.store([overlap], np.float32), limit
    room = draft.store(np.full((images, classes, rounds), -1, np.int64))
    center = int(attributes_of(node).get("center_point_box", 0))
    chosen = draft.add(ORDERED_BOXES, *node.input[:2], *limits, room, domain=DOMAIN, center_point_box=center)
    size = images * classes * rounds
    flat = draft.reshape(chosen, [size])
    mask = draft.add("Greater", flat, draft.ints(-1))
    places, number = first_places(draft, mask)
    # The first place of all may be empty; where no box is left, nobody reads it.
    boxes = draft.add("Max", draft.add("Gather", flat, places), draft.ints(0))
    image, kind, _ = _coordinates(draft, places, (images, classes, rounds))
    columns = [draft.reshape(column, [size, 1]) for column in (image, kind, boxes)]
    return {node.output[0]: Counted(draft.add("Concat", *columns, axis=1), (size, 3), 0, number)}


def unique(draft: Draft, node: onnx.NodeProto) -> dict[str, Counted]:
    """Unique elements of the whole tensor: sorted, each is kept that differs from the one before it."""
    data, values = node.input[0], attributes_of(node)
    shape = draft.shape(data)
    size = math.prod(shape)
    if not size or ("axis" in values and len(shape) != 1):
        raise NotKnownError(data)
    flat = draft.reshape(data, [size])
    ranks = draft.store(np.arange(size))
    ordered, origins = draft.add_several("TopK", [flat, draft.ints(size)], 2, largest=0)
    mask = _differs_from_the_one_before(draft, ordered, size)
    places, count = first_places(draft, mask)
    # Of equal elements, the first stands first. Behind the last place, all is as at the first.
    firsts = draft.add("Gather", origins, places)
    used = draft.add("Less", ranks, count)
    after = draft.add("Gather", draft.add("Concat", places, draft.ints(0), axis=0), draft.store(np.arange(size) + 1))
    last = draft.add("Equal", draft.store(np.arange(size) + 1), count)
    numbers = draft.add("Sub", draft.add("Where", last, draft.ints(size), after), places)
    numbers = draft.add("Where", used, numbers, draft.slice(numbers, 0, 0, 1))
    group = _counted_before(draft, mask)
    zeros = draft.store(np.zeros(size, np.int64))
    group = draft.add("ScatterElements", zeros, origins, group, axis=0)
    if not values.get("sorted", 1):
        ones = draft.store(np.ones(size, np.int64))
        marks = draft.add("Greater", draft.add("ScatterElements", zeros, firsts, ones, axis=0), draft.ints(0))
        numbers = draft.add("ScatterElements", zeros, firsts, numbers, axis=0)
        group = draft.add("Gather", _counted_before(draft, marks), draft.add("Gather", firsts, group))
        firsts, _ = first_places(draft, marks)
        numbers = draft.add("Gather", numbers, firsts)
    rooms = {0: draft.add("Gather", flat, firsts), 1: firsts, 3: numbers}
    if output_of(node, 2):
        draft.give(node.output[2], group)
    return {
        node.output[place]: Counted(room, (size,), 0, count) for place, room in rooms.items() if output_of(node, place)
    }


SOURCES: Mapping[str, Source] = {
    "NonZero": non_zero,
    "Compress": compress,
    "NonMaxSuppression": suppression,
    "Unique": unique,
}
"""What writes each operator of ONNX whose result has a size that depends on data."""


def _true(draft: Draft, name: str) -> str:
    """Whether each element is not zero."""
    dtype = draft.dtype(name)
    if dtype.kind == "b":
        return name
    if dtype.kind != "f":
        return draft.cast(name, np.bool_)
    return draft.add("Not", draft.add("Equal", name, draft.store(0, dtype)))


def _coordinates(draft: Draft, places: str, shape: tuple[int, ...]) -> list[str]:
    """The index along each axis of places in an array of `shape`."""
    found = []
    for axis, size in enumerate(shape):
        step = math.prod(shape[axis + 1 :])
        at = draft.add("Div", places, draft.ints(step)) if step > 1 else places
        found.append(draft.add("Mod", at, draft.ints(size)) if axis else at)
    return found


def _differs_from_the_one_before(draft: Draft, ordered: str, size: int) -> str:
    """A mask of sorted elements, true at the first."""
    first = draft.store([True])
    if size == 1:
        return first
    parts = draft.slice(ordered, 0, 1, size), draft.slice(ordered, 0, 0, size - 1)
    return draft.add("Concat", first, draft.add("Not", draft.add("Equal", *parts)), axis=0)


def _counted_before(draft: Draft, mask: str) -> str:
    """How many elements of a mask are true up to each, less one."""
    zero = draft.store(0, np.int64)
    return draft.add("Sub", draft.add("CumSum", draft.cast(mask, np.int64), zero), draft.ints(1))


def _number(draft: Draft, name: str) -> float:
    """A limit of NonMaxSuppression, 0 if it is absent."""
    return float(draft.constant(name).reshape(-1)[0]) if name else 0
