"""Operators that move, join and reduce."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.mxnet.work import Translate, Work


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


def _reshape(work: Work) -> list[str]:
    """Sizes of 0 stay, -1 follows, -2 is all that is left, -3 joins two, -4 splits one into the next two."""
    wanted = list(work.node.sizes("shape") or work.node.sizes("target_shape"))
    if work.node.value("reverse", False):
        raise work.refuse("reverse", "give the shape from the front")
    left, target = list(work.shape), list[int]()
    queue = list(wanted)
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
        raise InputFileError(f"{work}: a shape of {wanted} for an array of shape {list(work.shape)}") from error
    total, known = math.prod(work.shape), math.prod(size for size in target if size != -1)
    target = [total // known if size == -1 and known else size for size in target]
    if math.prod(target) != total or min(target, default=1) < 1:
        raise InputFileError(f"{work}: a shape of {wanted} for an array of shape {list(work.shape)}")
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


def _slice_axis(work: Work) -> list[str]:
    axis = work.axis(work.node.value("axis", 0))
    end = work.node.value("end")
    ends = [work.shape[axis] if end is None else int(end)]
    starts = work.builder.integers([work.node.value("begin", 0)])
    return [work.builder.add("Slice", work.x, starts, work.builder.integers(ends), work.builder.integers([axis]))]


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


def _upsampling(work: Work) -> list[str]:
    if work.node.value("sample_type", "nearest") != "nearest" or len(work.operands) != 1 or len(work.shape) != 4:
        raise work.refuse("other than nearest of one value", "use a Deconvolution")
    scale = work.node.value("scale", 1)
    target = work.builder.integers([*work.shape[:2], *(size * scale for size in work.shape[2:])])
    kind = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor", "mode": "nearest"}
    return [work.builder.add("Resize", work.x, "", "", target, **kind)]


OPERATORS: Mapping[str, Translate] = {
    "Concat": _concat,
    "Flatten": _flatten,
    "Pad": _pad,
    "Reshape": _reshape,
    "SliceChannel": _slice_channel,
    "SwapAxis": _swap,
    "UpSampling": _upsampling,
    "concat": _concat,
    "expand_dims": _expand_dims,
    "flatten": _flatten,
    "max": _reduction("ReduceMax"),
    "mean": _reduction("ReduceMean"),
    "min": _reduction("ReduceMin"),
    "pad": _pad,
    "reshape": _reshape,
    "slice_axis": _slice_axis,
    "split": _slice_channel,
    "squeeze": _squeeze,
    "sum": _reduction("ReduceSum"),
    "transpose": _transpose,
}
