"""SSD's operators: prior boxes, and the boxes that are detected, as MXNet's tables of a fixed number of rows.

MXNet's src/operator/contrib: multibox_prior.cc, multibox_detection.cc, bounding_box-inl.h.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.mxnet.layers.work import Translate, Work

_MOST_PRIORS = 1 << 24
_LEAST = -1e30
"""Below every score."""


def _floats(work: Work, name: str, default: tuple[float, ...]) -> list[float]:
    found = work.node.value(name, default)
    found = [found] if isinstance(found, (int, float)) else list(found)
    if not all(isinstance(one, (int, float)) and math.isfinite(one) for one in found) or len(found) > 1 << 10:
        raise InputFileError(f"{work}: {name} is {str(found)[:40]}")
    return [float(one) for one in found] or list(default)


def _prior(work: Work) -> list[str]:
    """A constant: the boxes around each place of the maps as parts of the image."""
    maps = work.shape[2:]
    sizes, ratios = _floats(work, "sizes", (1.0,)), _floats(work, "ratios", (1.0,))
    steps, offsets = _floats(work, "steps", (-1.0, -1.0)), _floats(work, "offsets", (0.5, 0.5))
    count = len(sizes) + len(ratios) - 1
    if len(maps) != 2 or len(steps) != 2 or len(offsets) != 2 or math.prod(maps) * count > _MOST_PRIORS:
        raise InputFileError(f"{work}: {count} boxes at each place of maps of shape {list(work.shape)}, steps {steps}")
    if min(ratios) <= 0 or min(sizes) <= 0:
        raise InputFileError(f"{work}: sizes and ratios must be positive, got {sizes[:8]} and {ratios[:8]}")
    pairs = [(size, ratios[0]) for size in sizes] + [(sizes[0], ratio) for ratio in ratios[1:]]
    half = (
        np.array([(size * maps[0] / maps[1] * math.sqrt(ratio), size / math.sqrt(ratio)) for size, ratio in pairs]) / 2
    )
    step = [one if one > 0 else 1 / size for one, size in zip(steps, maps, strict=True)]
    y = ((np.arange(maps[0]) + offsets[0]) * step[0])[:, None, None]
    x = ((np.arange(maps[1]) + offsets[1]) * step[1])[None, :, None]
    corners = np.broadcast_arrays(x - half[:, 0], y - half[:, 1], x + half[:, 0], y + half[:, 1])
    boxes = np.stack(corners, -1).reshape(1, -1, 4)
    boxes = np.clip(boxes, 0, 1) if work.node.value("clip", False) else boxes
    return [work.builder.constant(boxes.astype(np.float32), "priors")]


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Boxes that suppression chooses from.

    Attributes:
        keys: float32, images × boxes: what they are sorted by.
        valid: bool, images × boxes.
        kinds: float32, images × boxes: only boxes of equal kind suppress each other.
        several: how many kinds there are, from 0 on; 0 where they may be any numbers.
        corners: float32, images × boxes × 4.
        rows: float32, images × boxes × columns: what the table holds.
    """

    keys: str
    valid: str
    kinds: str
    several: int
    corners: str
    rows: str


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Boxes in the order of their keys; those that are not valid are at the end."""

    rows: str
    valid: str
    kept: str


def _rank(work: Work, boxes: _Candidates, overlap: float | None, most: int) -> _Ranked:
    """Sorts the boxes and suppresses those that overlap a better one; None suppresses nothing.

    Args:
        work: takes the nodes.
        boxes: the candidates.
        overlap: boxes that share more than this part of their union suppress each other.
        most: so many take part, all others are not kept; all do if it is not positive.
    """
    add, builder, integers = work.builder.add, work.builder, work.builder.integers
    images, count = builder.shape(boxes.keys)
    keys = add("Where", boxes.valid, boxes.keys, builder.number(_LEAST))
    best, order = builder.add_many("TopK", [keys, integers([count])], 2, axis=1)
    valid = add("Greater", best, builder.number(_LEAST))
    rows, corners = (_ordered(work, value, order) for value in (boxes.rows, boxes.corners))
    kept = valid
    if 0 < most < count:
        first = builder.constant((np.arange(count) < most)[None])
        kept = add("And", valid, first)
    if overlap is None:
        return _Ranked(rows, valid, kept)
    rank = add("Where", kept, builder.constant(-np.arange(count, dtype=np.float32)[None]), builder.number(_LEAST))
    ranks = add("Unsqueeze", rank, integers([1]))
    kinds = add("GatherElements", boxes.kinds, order, axis=1)
    if boxes.several:
        each = builder.constant(np.arange(boxes.several, dtype=np.float32)[None, :, None])
        own = add("Equal", add("Unsqueeze", kinds, integers([1])), each)
        ranks = add("Where", own, ranks, builder.number(_LEAST))
    else:  # boxes of different kinds are moved apart, so that they share nothing
        least = add("ReduceMin", corners, integers([1, 2]), keepdims=1)
        span = add("Sub", add("ReduceMax", corners, integers([1, 2]), keepdims=1), least)
        apart = add("Mul", add("Unsqueeze", kinds, integers([2])), add("Add", span, builder.number(1.0)))
        corners = add("Add", corners, apart)
    limits = (builder.number(overlap), builder.number(_LEAST / 2))
    chosen = add("NonMaxSuppression", corners, ranks, integers([count]), *limits)
    ones = add("Expand", builder.number(1.0), add("Slice", add("Shape", chosen), integers([0]), integers([1])))
    empty = builder.constant(np.zeros((images, boxes.several or 1, count), np.float32))
    marks = add("ReduceMax", add("ScatterND", empty, chosen, ones), integers([1]), keepdims=0)
    return _Ranked(rows, valid, add("Greater", marks, builder.number(0.0)))


def _ordered(work: Work, value: str, order: str) -> str:
    shape = work.builder.shape(value)
    places = work.builder.add("Unsqueeze", order, work.builder.integers([2]))
    places = work.builder.add("Expand", places, work.builder.integers(shape))
    return work.builder.add("GatherElements", value, places, axis=1)


def _columns(work: Work, value: str, first: int, count: int) -> str:
    integers = work.builder.integers
    return work.builder.add("Slice", value, integers([first]), integers([first + count]), integers([2]))


def _detection(work: Work) -> list[str]:
    """Rows of class, score and corners, the best first; -1 is the class of what is suppressed or no box."""
    add, builder, integers = work.builder.add, work.builder, work.builder.integers
    value = work.node.value
    shapes = [list(builder.shape(work.value(index))) for index in range(3)]
    if len(shapes[0]) != 3 or shapes[0][1] < 2:
        raise InputFileError(f"{work}: class scores of shape {shapes[0]}")
    images, classes, count = shapes[0]
    if math.prod(shapes[1]) != images * count * 4 or math.prod(shapes[2]) != count * 4:
        raise InputFileError(f"{work}: scores, shifts and anchors of shapes {shapes} do not fit each other")
    if value("background_id", 0) != 0:
        raise work.refuse(f"background_id {value('background_id')}", "use class 0")
    variances = _floats(work, "variances", (0.1, 0.1, 0.2, 0.2))
    if len(variances) != 4:
        raise InputFileError(f"{work}: takes four variances, got {len(variances)}")
    likely = add("Slice", work.x, integers([1]), integers([classes]), integers([1]))
    scores = add("ReduceMax", likely, integers([1]), keepdims=0)
    kinds = add("Cast", add("ArgMax", likely, axis=1, keepdims=0), to=1)
    corners = _decoded(work, variances, (images, count))
    valid = add("GreaterOrEqual", scores, builder.number(float(value("threshold", 0.01))))
    columns = [add("Unsqueeze", one, integers([2])) for one in (kinds, scores)]
    rows = add("Concat", *columns, corners, axis=2)
    limit = float(value("nms_threshold", 0.5))
    suppressed = 0 < limit <= 1
    keys = scores if suppressed else builder.constant(np.tile(-np.arange(count, dtype=np.float32), (images, 1)))
    several = classes - 1
    apart = kinds
    if value("force_suppress", False):
        apart, several = builder.constant(np.zeros((images, count), np.float32)), 1
    # Here a share that equals the limit suppresses, too.
    overlap = float(np.nextafter(np.float32(limit), np.float32(0))) if suppressed else None
    most = value("nms_topk", -1) if suppressed else -1
    ranked = _rank(work, _Candidates(keys, valid, apart, several, corners, rows), overlap, most)
    table = _kept_or(work, ranked.rows, ranked.valid)
    found = add(
        "Where", add("Unsqueeze", ranked.kept, integers([2])), _columns(work, table, 0, 1), builder.number(-1.0)
    )
    return [add("Concat", found, _columns(work, table, 1, 5), axis=2)]


def _kept_or(work: Work, rows: str, kept: str) -> str:
    """The rows; -1 where they are not kept."""
    here = work.builder.add("Unsqueeze", kept, work.builder.integers([2]))
    return work.builder.add("Where", here, rows, work.builder.number(-1.0))


def _decoded(work: Work, variances: Sequence[float], sizes: tuple[int, int]) -> str:
    """The corners of the boxes that the network shifts and scales the anchors to."""
    add, builder, integers = work.builder.add, work.builder, work.builder.integers
    shifts = add("Reshape", work.value(1), integers([*sizes, 4]))
    shifts = add("Mul", shifts, builder.constant(np.array(variances, np.float32)))
    anchors = add("Reshape", work.value(2), integers([1, sizes[1], 4]))
    low, high = _columns(work, anchors, 0, 2), _columns(work, anchors, 2, 2)
    size, half = add("Sub", high, low), builder.number(0.5)
    middle = add("Mul", add("Add", low, high), half)
    centre = add("Add", add("Mul", _columns(work, shifts, 0, 2), size), middle)
    reach = add("Mul", add("Mul", add("Exp", _columns(work, shifts, 2, 2)), size), half)
    corners = add("Concat", add("Sub", centre, reach), add("Add", centre, reach), axis=2)
    if not work.node.value("clip", True):
        return corners
    return add("Clip", corners, builder.number(0.0), builder.number(1.0))


def _box_nms(work: Work) -> list[str]:
    """Rows that stay, the best first; all others hold -1."""
    value, shape = work.node.value, work.shape
    score, first, kind = value("score_index", 1), value("coord_start", 2), value("id_index", -1)
    if len(shape) < 2 or not 0 <= score < shape[-1] or not 0 <= first <= shape[-1] - 4 or not -1 <= kind < shape[-1]:
        raise InputFileError(
            f"{work}: scores in column {score}, boxes from {first}, classes in {kind} of {list(shape)}"
        )
    add, builder, integers = work.builder.add, work.builder, work.builder.integers
    forms = value("in_format", "corner"), value("out_format", "corner")
    if forms[0] != forms[1]:
        raise work.refuse(f"boxes as {forms[0]} that leave as {forms[1]}", "use the same form for both")
    rows = work.x if len(shape) == 3 else add("Reshape", work.x, integers([math.prod(shape[:-2]), *shape[-2:]]))
    scores = add("Squeeze", _columns(work, rows, score, 1), integers([2]))
    valid = add("Greater", scores, builder.number(float(value("valid_thresh", 0.0))))
    kinds, several = builder.constant(np.zeros(builder.shape(scores), np.float32)), 1
    if kind >= 0:
        found = add("Squeeze", _columns(work, rows, kind, 1), integers([2]))
        background = builder.number(float(value("background_id", -1)))
        valid = add("And", valid, add("Not", add("Equal", found, background)))
        several = int(value("force_suppress", False))
        kinds = kinds if several else found
    corners = _columns(work, rows, first, 4)
    if forms[0] == "center":
        middle, size = _columns(work, corners, 0, 2), _columns(work, corners, 2, 2)
        reach = add("Mul", size, builder.number(0.5))
        corners = add("Concat", add("Sub", middle, reach), add("Add", middle, reach), axis=2)
    limit = float(value("overlap_thresh", 0.5))
    ranked = _rank(work, _Candidates(scores, valid, kinds, several, corners, rows), limit, value("topk", -1))
    return [add("Reshape", _packed(work, ranked), integers(shape))]


def _packed(work: Work, ranked: _Ranked) -> str:
    """The rows that are kept in front of the others, which hold -1."""
    builder, add = work.builder, work.builder.add
    count = builder.shape(ranked.kept)[1]
    places = builder.constant(np.arange(count, dtype=np.float32)[None])
    keys = add("Where", ranked.kept, places, builder.number(float(count)))
    ascending, order = builder.add_many("TopK", [keys, builder.integers([count])], 2, axis=1, largest=0)
    kept = add("Less", ascending, builder.number(float(count)))
    return _kept_or(work, _ordered(work, ranked.rows, order), kept)


OPERATORS: Mapping[str, Translate] = {
    "_contrib_MultiBoxDetection": _detection,
    "_contrib_MultiBoxPrior": _prior,
    "_contrib_box_nms": _box_nms,
    "_contrib_box_non_maximum_suppression": _box_nms,
}
