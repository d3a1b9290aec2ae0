"""Operators that move, join and reduce."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.mxnet.layers.work import Translate, Work
from tvmopt.pipeline.importers.mxnet.symbol import Node


def _flatten(work: Work) -> list[str]:
    return [work.builder.add("Flatten", work.x, axis=1)]


def _concat(work: Work) -> list[str]:
    values = [work.value(index) for index in range(len(work.operands))]
    return [work.builder.add("Concat", *values, axis=work.axis(work.node.value("dim", 1)))]


def _slice_channel(work: Work) -> list[str]:
    count, axis = work.node.value("num_outputs", 1), work.axis(work.node.value("axis", 1))
    if count < 1 or work.shape[axis] % count:
        raise InputFileError(f"{work}: {work.shape[axis]} elements in {count} equal parts")
    lengths = work.builder.integers([work.shape[axis] // count] * count)
    parts = work.builder.add_many("Split", [work.x, lengths], count, axis=axis)
    if not work.node.value("squeeze_axis", False):
        return parts
    return [work.builder.add("Squeeze", part, work.builder.integers([axis])) for part in parts]


def target_shape(work: str, shape: Sequence[int], node: Node) -> list[int]:
    """The shape that an array of `shape` gets.

    Sizes of 0 stay, -1 follows, -2 is all that is left, -3 joins two, -4 splits one into the next two. With `reverse`,
    all is read from the back.

    Raises:
        InputFileError: an array of that shape cannot get it.
    """
    wanted = list(node.sizes("shape") or node.sizes("target_shape"))
    backwards = node.value("reverse", False)
    left, target = list(shape), list[int]()
    if backwards:
        if -4 in wanted:
            raise InputFileError(f"{work}: the code -4 in the reversed shape {wanted}; give it from the front")
        left.reverse()
    queue = wanted[::-1] if backwards else list(wanted)
    try:
        while queue:
            size = queue.pop(0)
            if size == 0:
                target.append(left.pop(0))
            elif size == -2:
                target += left
                left = []
            elif size == -3:
                target.append(left.pop(0) * left.pop(0))
            elif size == -4:
                whole, parts = left.pop(0), [queue.pop(0), queue.pop(0)]
                target += [-(whole // (parts[0] * parts[1])) if part == -1 else part for part in parts]
            else:
                target.append(size)
                left = left[1:]
    except (IndexError, ZeroDivisionError) as error:
        raise InputFileError(f"{work}: a shape of {wanted} for an array of shape {list(shape)}") from error
    target = target[::-1] if backwards else target
    total, known = math.prod(shape), math.prod(size for size in target if size != -1)
    target = [total // known if size == -1 and known else size for size in target]
    if math.prod(target) != total or min(target, default=1) < 1:
        raise InputFileError(f"{work}: a shape of {wanted} for an array of shape {list(shape)}")
    return target


def _reshape(work: Work) -> list[str]:
    target = target_shape(str(work), work.shape, work.node)
    return [work.builder.add("Reshape", work.x, work.builder.integers(target))]


def _reshape_like(work: Work) -> list[str]:
    if any(work.node.value(name) is not None for name in ("lhs_begin", "lhs_end", "rhs_begin", "rhs_end")):
        raise work.refuse("a part of the shape", "reshape to the whole shape")
    target = work.builder.shape(work.value(1))
    if math.prod(target) != math.prod(work.shape):
        raise InputFileError(f"{work}: a shape of {list(target)} for an array of shape {list(work.shape)}")
    return [work.builder.add("Reshape", work.x, work.builder.integers(target))]


def _transpose(work: Work) -> list[str]:
    order = list(work.node.sizes("axes")) or list(reversed(range(len(work.shape))))
    if sorted(axis % len(work.shape) for axis in order) != list(range(len(work.shape))):
        raise InputFileError(f"{work}: axes {order} of an array of {len(work.shape)} dimensions")
    return [work.builder.add("Transpose", work.x, perm=[axis % len(work.shape) for axis in order])]


def _swap(work: Work) -> list[str]:
    order = list(range(len(work.shape)))
    first, second = (work.axis(work.node.value(name, 0)) for name in ("dim1", "dim2"))
    order[first], order[second] = second, first
    return [work.builder.add("Transpose", work.x, perm=order)]


def _expand_dims(work: Work) -> list[str]:
    return [work.builder.add("Unsqueeze", work.x, work.builder.integers([work.node.value("axis", 0)]))]


def _squeeze(work: Work) -> list[str]:
    axes = work.node.sizes("axis")
    axes = axes or tuple(axis for axis, size in enumerate(work.shape) if size == 1)
    return [work.builder.add("Squeeze", work.x, work.builder.integers(axes))]


def _reduction(operator: str) -> Translate:
    def translate(work: Work) -> list[str]:
        axes = [work.axis(axis) for axis in work.node.sizes("axis")]
        if work.node.value("exclude", False):
            axes = [axis for axis in range(len(work.shape)) if axis not in axes]
        axes = axes or list(range(len(work.shape)))
        keep = int(work.node.value("keepdims", False))
        value = work.builder.add(operator, work.x, work.builder.integers(axes), keepdims=keep)
        return [value if work.builder.shape(value) else work.builder.add("Reshape", value, work.builder.integers([1]))]

    return translate


def _pad(work: Work) -> list[str]:
    widths = work.node.sizes("pad_width")
    mode = {"constant": "constant", "edge": "edge", "reflect": "reflect"}.get(work.node.value("mode", "constant"))
    if len(widths) != 2 * len(work.shape) or mode is None:
        raise InputFileError(f"{work}: pad_width {list(widths)} in mode {mode} for {len(work.shape)} dimensions")
    pads = work.builder.integers([*widths[::2], *widths[1::2]])
    value = work.builder.number(float(work.node.value("constant_value", 0.0)))
    return [work.builder.add("Pad", work.x, pads, *([value] if mode == "constant" else []), mode=mode)]


def _stack(work: Work) -> list[str]:
    axis = work.axis(work.node.value("axis", 0), len(work.shape) + 1)
    values = [work.value(index) for index in range(len(work.operands))]
    parts = [work.builder.add("Unsqueeze", value, work.builder.integers([axis])) for value in values]
    return [work.builder.add("Concat", *parts, axis=axis)]


def _tile(work: Work) -> list[str]:
    repeats = list(work.node.sizes("reps"))
    rank = max(len(repeats), len(work.shape))
    if min(repeats, default=1) < 1 or rank > _MOST_DIMENSIONS:
        raise InputFileError(f"{work}: reps {repeats[:8]}")
    shape = [1] * (rank - len(work.shape)) + list(work.shape)
    x = work.builder.add("Reshape", work.x, work.builder.integers(shape))
    repeats = [1] * (rank - len(repeats)) + repeats
    return [work.builder.add("Tile", x, work.builder.integers(repeats))]


def _repeat(work: Work) -> list[str]:
    """Each element several times, one copy behind the other; of all elements as one row where there is no axis."""
    count, axis = work.node.value("repeats", 1), work.node.value("axis")
    if not isinstance(axis, (int, type(None))) or count < 1:
        raise InputFileError(f"{work}: repeats {count}, axis {axis}")
    shape = [math.prod(work.shape)] if axis is None else list(work.shape)
    place = 0 if axis is None else work.axis(axis)
    apart = work.builder.add("Reshape", work.x, work.builder.integers([*shape[: place + 1], 1, *shape[place + 1 :]]))
    repeats = [1] * (len(shape) + 1)
    repeats[place + 1] = count
    copies = work.builder.add("Tile", apart, work.builder.integers(repeats))
    shape[place] *= count
    return [work.builder.add("Reshape", copies, work.builder.integers(shape))]


def _broadcast_to(work: Work) -> list[str]:
    wanted = work.node.sizes("shape")
    if len(wanted) != len(work.shape):
        raise InputFileError(f"{work}: a shape of {list(wanted)} for an array of shape {list(work.shape)}")
    return _expanded(work, [size or own for size, own in zip(wanted, work.shape, strict=True)])


def _broadcast_axis(work: Work) -> list[str]:
    axes, sizes, target = work.node.sizes("axis"), work.node.sizes("size"), list(work.shape)
    if len(axes) != len(sizes):
        raise InputFileError(f"{work}: {len(axes)} axes and {len(sizes)} sizes")
    for axis, size in zip(axes, sizes, strict=True):
        target[work.axis(axis)] = size
    return _expanded(work, target)


def _broadcast_like(work: Work) -> list[str]:
    if work.node.sizes("lhs_axes") or work.node.sizes("rhs_axes"):
        raise work.refuse("axes that are chosen", "use broadcast_to")
    return _expanded(work, list(work.builder.shape(work.value(1))))


def _expanded(work: Work, target: Sequence[int]) -> list[str]:
    fits = len(target) == len(work.shape) and all(
        own in (1, size) for own, size in zip(work.shape, target, strict=True)
    )
    if not fits or min(target, default=1) < 1:
        raise InputFileError(f"{work}: an array of shape {list(work.shape)} to one of {list(target)}")
    return [work.builder.add("Expand", work.x, work.builder.integers(target))]


def _norm(work: Work) -> Sequence[str]:
    order = work.node.value("ord", 2)
    if order not in (1, 2):
        raise work.refuse(f"ord {order}", "use 1 or 2")
    return _reduction(f"ReduceL{order}")(work)


def _place(operator: str) -> Translate:
    """The place of the largest or smallest element along an axis, as a float."""

    def translate(work: Work) -> list[str]:
        axis = work.node.value("axis")
        if not isinstance(axis, int):
            raise work.refuse("no axis", "flatten the array before it, and give axis 0")
        keep = int(work.node.value("keepdims", False))
        place = work.builder.add(operator, work.x, axis=work.axis(axis), keepdims=keep)
        return [work.builder.add("Cast", place, to=1)]

    return translate


def _blocks(operator: str) -> Translate:
    return lambda work: [work.builder.add(operator, work.x, blocksize=work.node.value("block_size", 1))]


def _filled(value: float | None, like: bool) -> Translate:
    """A constant array of the shape of the operand, or of the node's own; None takes the node's value."""

    def translate(work: Work) -> list[str]:
        shape = work.shape if like else work.node.sizes("shape")
        if min(shape, default=1) < 1 or math.prod(shape) > _MOST_FILLED:
            raise InputFileError(f"{work}: a constant of shape {list(shape)}")
        number = float(work.node.value("value", 0.0)) if value is None else value
        return [work.builder.add("Expand", work.builder.number(number), work.builder.integers(shape))]

    return translate


def _arange(work: Work) -> list[str]:
    value = work.node.value
    start, stop, step = float(value("start", 0.0)), value("stop"), float(value("step", 1.0))
    first, last = (0.0, start) if stop is None else (start, float(stop))
    count = math.ceil((last - first) / step) if step else 0
    if not 0 < count <= _MOST_FILLED or not 0 < value("repeat", 1) <= 1 << 10:
        raise InputFileError(f"{work}: numbers from {first:g} to {last:g} by {step:g}")
    row = np.repeat((first + step * np.arange(count)).astype(np.float32), value("repeat", 1))
    return [work.builder.constant(row, "numbers")]


_MOST_DIMENSIONS = 32
_MOST_FILLED = 1 << 26

OPERATORS: Mapping[str, Translate] = {
    "_arange": _arange,
    "_full": _filled(None, like=False),
    "_ones": _filled(1.0, like=False),
    "_zeros": _filled(0.0, like=False),
    "argmax": _place("ArgMax"),
    "argmin": _place("ArgMin"),
    "broadcast_axes": _broadcast_axis,
    "broadcast_axis": _broadcast_axis,
    "broadcast_like": _broadcast_like,
    "broadcast_to": _broadcast_to,
    "depth_to_space": _blocks("DepthToSpace"),
    "norm": _norm,
    "ones_like": _filled(1.0, like=True),
    "prod": _reduction("ReduceProd"),
    "repeat": _repeat,
    "reshape_like": _reshape_like,
    "space_to_depth": _blocks("SpaceToDepth"),
    "stack": _stack,
    "sum_axis": _reduction("ReduceSum"),
    "swapaxes": _swap,
    "tile": _tile,
    "zeros_like": _filled(0.0, like=True),
    "Concat": _concat,
    "Flatten": _flatten,
    "Pad": _pad,
    "Reshape": _reshape,
    "SliceChannel": _slice_channel,
    "SwapAxis": _swap,
    "concat": _concat,
    "expand_dims": _expand_dims,
    "flatten": _flatten,
    "max": _reduction("ReduceMax"),
    "mean": _reduction("ReduceMean"),
    "min": _reduction("ReduceMin"),
    "pad": _pad,
    "reshape": _reshape,
    "split": _slice_channel,
    "squeeze": _squeeze,
    "sum": _reduction("ReduceSum"),
    "transpose": _transpose,
}
