"""The end of a detector in ONNX's operators: decoded boxes and scores become a table of a fixed number of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tvmopt.pipeline.importers.onnx_form.building.builder import GraphBuilder

_INT64, _FLOAT = 7, 1


@dataclass(frozen=True, slots=True)
class Selection:
    """Which boxes stay.

    Attributes:
        threshold: the least score is above it.
        overlap: a box goes if it shares more than this part of the union with a better one of its class.
        candidates: so many boxes of each class are looked at, the best ones; all of them if it is not positive.
        rows: so many boxes of an image stay, the best ones; all of them if it is not positive.
    """

    threshold: float
    overlap: float
    candidates: int
    rows: int


@dataclass(frozen=True, slots=True)
class Rows:
    """The boxes that stay, in the order of their classes, and the best of a class first.

    Attributes:
        classes: int64, images × rows: the number of the class.
        scores: float32, images × rows; -1 where there is no further box.
        boxes: float32, images × rows × 4.
        present: bool, images × rows: whether there is a box.
    """

    classes: str
    scores: str
    boxes: str
    present: str


def select(builder: GraphBuilder, boxes: str, scores: str, selection: Selection) -> Rows:
    """The boxes that non-maximum suppression keeps, class by class.

    Args:
        builder: takes the nodes.
        boxes: float32, images × boxes × 4, or images × classes × boxes × 4: two corners.
        scores: float32, images × classes × boxes.
        selection: which boxes stay.

    Only the result of NonMaxSuppression has a size that depends on data: it marks the boxes that stay in an array of
    fixed size.
    """
    add, integers = builder.add, builder.integers
    images, classes, count = builder.shape(scores)
    taken = min(selection.candidates, count) if selection.candidates > 0 else count
    best, places = builder.add_many("TopK", [scores, integers([taken])], 2, axis=2)
    if len(builder.shape(boxes)) == 3:
        each = add("Unsqueeze", boxes, integers([1]))
        boxes = add("Expand", each, integers([images, classes, count, 4]))
    wide = add("Expand", add("Unsqueeze", places, integers([3])), integers([images, classes, taken, 4]))
    corners = add("GatherElements", boxes, wide, axis=2)
    rows = images * classes
    chosen = add(
        "NonMaxSuppression",
        add("Reshape", corners, integers([rows, taken, 4])),
        add("Reshape", best, integers([rows, 1, taken])),
        integers([taken]),
        builder.number(selection.overlap),
        builder.number(selection.threshold),
    )
    count_of_chosen = add("Slice", add("Shape", chosen), integers([0]), integers([1]))
    ones = add("Expand", builder.number(1.0), count_of_chosen)
    empty = builder.constant(np.zeros((rows, 1, taken), np.float32))
    marks = add("ScatterND", empty, chosen, ones)
    kept = add("Greater", add("Reshape", marks, integers([images, classes * taken])), builder.number(0.0))
    flat = add("Reshape", best, integers([images, classes * taken]))
    ranked = add("Where", kept, flat, builder.number(-1.0))
    total = min(selection.rows, classes * taken) if selection.rows > 0 else classes * taken
    values, order = builder.add_many("TopK", [ranked, integers([total])], 2, axis=1)
    # Back in the order of classes; what is no box goes to the end.
    last = builder.constant(np.array(classes * taken, np.int64))
    found = add("Where", add("Greater", values, builder.number(-0.5)), order, last)
    sorted_places, _ = builder.add_many("TopK", [found, integers([total])], 2, axis=1, largest=0)
    present = add("Less", sorted_places, last)
    place = add("Min", sorted_places, builder.constant(np.array(classes * taken - 1, np.int64)))
    missing = builder.number(-1.0)
    flat_corners = add("Reshape", corners, integers([images, classes * taken, 4]))
    index = add("Expand", add("Unsqueeze", place, integers([2])), integers([images, total, 4]))
    return Rows(
        add("Div", place, builder.constant(np.array(taken, np.int64))),
        add("Where", present, add("GatherElements", flat, place, axis=1), missing),
        add("GatherElements", flat_corners, index, axis=1),
        present,
    )
