"""Operators that take a part of an array: slices, and what indices choose."""

from __future__ import annotations

import ast
from collections.abc import Mapping

import numpy as np

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.mxnet.layers.work import Translate, Work

_INT64 = 7
_END = (1 << 63) - 1
_MOST_TEXT = 1024


def _bounds(work: Work, name: str) -> list[int | None]:
    """A tuple of whole numbers and ``None``."""
    text = work.node.attributes.get(name, "()")
    try:
        found = ast.literal_eval(text) if len(text) < _MOST_TEXT else text
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        found = text
    found = (found,) if isinstance(found, (int, type(None))) else found
    if not isinstance(found, (tuple, list)) or any(not isinstance(one, (int, type(None))) for one in found):
        raise InputFileError(f"{work}: {name} is {text[:40]!r}")
    return list(found)


def _sliced(work: Work, ranges: Mapping[int, tuple[int | None, int | None, int | None]]) -> list[str]:
    """The parts of the axes, each given as Python's begin, end and step."""
    starts, ends, steps = [], [], []
    for axis, (begin, end, given) in ranges.items():
        step = 1 if given is None else given
        if step == 0:
            raise InputFileError(f"{work}: a step of 0 along axis {axis}")
        first, last, _ = slice(begin, end, step).indices(work.shape[axis])
        starts.append(first)
        ends.append(last if last >= 0 else -_END)
        steps.append(step)
    integers = work.builder.integers
    return [
        work.builder.add("Slice", work.x, integers(starts), integers(ends), integers(list(ranges)), integers(steps))
    ]


def _slice(work: Work) -> list[str]:
    begin, end, step = (_bounds(work, name) for name in ("begin", "end", "step"))
    step = step or [None] * len(begin)
    if not begin or not len(begin) == len(end) == len(step) <= len(work.shape):
        raise InputFileError(f"{work}: begin {begin}, end {end}, step {step} of an array of shape {list(work.shape)}")
    return _sliced(work, dict(enumerate(zip(begin, end, step, strict=True))))


def _slice_axis(work: Work) -> list[str]:
    (begin,), (end,) = (_bounds(work, name) or [None] for name in ("begin", "end"))
    return _sliced(work, {work.axis(work.node.value("axis", 0)): (begin, end, 1)})


def _slice_like(work: Work) -> list[str]:
    like = work.builder.shape(work.value(1))
    axes = [work.axis(axis) for axis in work.node.sizes("axes")] or list(range(len(work.shape)))
    if any(axis >= len(like) or like[axis] > work.shape[axis] for axis in axes):
        raise InputFileError(f"{work}: a part like {list(like)} of an array of shape {list(work.shape)}")
    return _sliced(work, {axis: (0, like[axis], 1) for axis in axes})


def _crop(work: Work) -> list[str]:
    """The part of maps that `offset` names, or the middle, as large as a second operand or `h_w`."""
    if len(work.shape) != 4:
        raise InputFileError(f"{work}: takes four dimensions, got {list(work.shape)}")
    several = len(work.operands) > 1
    size = work.builder.shape(work.value(1))[2:] if several else work.node.sizes("h_w")
    offset = list(work.node.sizes("offset")) or [0, 0]
    if len(size) != 2 or len(offset) != 2:
        raise InputFileError(f"{work}: a part of size {list(size)} at {offset}")
    if work.node.value("center_crop", False):
        offset = [(whole - part) // 2 for whole, part in zip(work.shape[2:], size, strict=True)]
    ends = [first + part for first, part in zip(offset, size, strict=True)]
    if min(offset) < 0 or any(end > whole for end, whole in zip(ends, work.shape[2:], strict=True)):
        raise InputFileError(f"{work}: a part of size {list(size)} at {offset} of maps of shape {list(work.shape)}")
    return _sliced(work, {axis + 2: (offset[axis], ends[axis], 1) for axis in (0, 1)})


def _flip(work: Work) -> list[str]:
    return _sliced(work, {work.axis(axis): (None, None, -1) for axis in work.node.sizes("axis")})


def indices(work: Work, index: int, count: int, wrap: bool = False) -> str:
    """An operand of indices as int64; those outside of 0 to `count` count as the nearest, or start anew."""
    value, builder = work.value(index), work.builder
    if wrap:
        whole = builder.add("Cast", value, to=_INT64)
        return builder.add("Mod", whole, builder.constant(np.array(count, np.int64)))
    low, high = (builder.constant(np.array(bound, builder.dtype(value))) for bound in (0, count - 1))
    return builder.add("Cast", builder.add("Clip", value, low, high), to=_INT64)


def _take(work: Work) -> list[str]:
    axis, mode = work.axis(work.node.value("axis", 0)), work.node.value("mode", "clip")
    if mode not in ("clip", "wrap"):
        raise work.refuse(f"mode {mode}", "use clip or wrap")
    return [work.builder.add("Gather", work.x, indices(work, 1, work.shape[axis], mode == "wrap"), axis=axis)]


def _embedding(work: Work) -> list[str]:
    rows, width = work.node.value("input_dim", 0), work.node.value("output_dim", 0)
    if rows < 1 or width < 1:
        raise InputFileError(f"{work}: a table of {rows} rows of {width}")
    table = work.builder.constant(work.parameter(1, (rows, width)), "table")
    return [work.builder.add("Gather", table, indices(work, 0, rows))]


def _pick(work: Work) -> list[str]:
    """One element of each row along `axis`."""
    axis, keep = work.axis(work.node.value("axis", -1)), work.node.value("keepdims", False)
    if work.node.value("mode", "clip") != "clip":
        raise work.refuse("mode wrap", "use clip")
    builder, shape = work.builder, list(work.shape)
    shape[axis] = 1
    places = builder.add("Reshape", indices(work, 1, work.shape[axis]), builder.integers(shape))
    chosen = builder.add("GatherElements", work.x, places, axis=axis)
    return [chosen if keep else builder.add("Squeeze", chosen, builder.integers([axis]))]


def _one_hot(work: Work) -> list[str]:
    depth = work.node.value("depth", 0)
    if depth < 1:
        raise InputFileError(f"{work}: depth must be at least 1, got {depth}")
    value = work.node.value
    both = work.builder.constant(np.array([value("off_value", 0.0), value("on_value", 1.0)], np.float32))
    kinds = work.builder.constant(np.arange(depth, dtype=np.float32))
    each = work.builder.add("Unsqueeze", work.x, work.builder.integers([-1]))
    hot = work.builder.add("Cast", work.builder.add("Equal", each, kinds), to=_INT64)
    return [work.builder.add("Gather", both, hot)]


def _sequence(operator: str) -> Translate:
    """Operators on sequences whose lengths are all the whole one."""

    def translate(work: Work) -> list[str]:
        axis = work.axis(work.node.value("axis", 0))
        if work.node.value("use_sequence_length", False):
            raise work.refuse("sequence lengths", "leave them out of the network")
        if operator == "SequenceMask":
            return [work.x]
        if operator == "SequenceReverse":
            return _sliced(work, {axis: (None, None, -1)})
        last = _sliced(work, {axis: (-1, None, 1)})[0]
        return [work.builder.add("Squeeze", last, work.builder.integers([axis]))]

    return translate


OPERATORS: Mapping[str, Translate] = {
    "Crop": _crop,
    "Embedding": _embedding,
    **{name: _sequence(name) for name in ("SequenceLast", "SequenceMask", "SequenceReverse")},
    "crop": _slice,
    "flip": _flip,
    "one_hot": _one_hot,
    "pick": _pick,
    "reverse": _flip,
    "slice": _slice,
    "slice_axis": _slice_axis,
    "slice_like": _slice_like,
    "take": _take,
}
