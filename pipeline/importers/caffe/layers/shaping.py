"""Layers that move, join and reduce."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.caffe.layers.work import Translate, Work

_REDUCTIONS = {1: "ReduceSum", 2: "ReduceL1", 3: "ReduceSumSquare", 4: "ReduceMean"}


def _concat(work: Work) -> list[str]:
    p = work.parameters("concat_param")
    axis = work.axis(p.concat_dim if p.HasField("concat_dim") else p.axis)
    return [work.builder.add("Concat", *work.bottoms, axis=axis)]


def _slice(work: Work) -> list[str]:
    p, count = work.parameters("slice_param"), len(work.layer.tops)
    axis = work.axis(p.slice_dim if p.HasField("slice_dim") else p.axis)
    size = work.shape[axis]
    points = list(p.slice_point)
    if not points and size % count:
        raise InputFileError(f"{work}: {size} elements cannot be cut into {count} equal parts")
    points = points or [size // count * index for index in range(1, count)]
    lengths = np.diff([0, *points, size])
    if len(lengths) != count or lengths.min() < 1:
        raise InputFileError(f"{work}: {count} parts of {size} elements, cut at {points[:8]}")
    return work.builder.add_many("Split", [work.x, work.builder.integers(lengths.tolist())], count, axis=axis)


def _flatten(work: Work) -> list[str]:
    p = work.parameters("flatten_param")
    first, last = work.axis(p.axis), work.axis(p.end_axis)
    if last < first:
        raise InputFileError(f"{work}: from axis {p.axis} to {p.end_axis}")
    if (first, last) == (1, len(work.shape) - 1):
        return [work.builder.add("Flatten", work.x, axis=1)]
    inner = math.prod(work.shape[first : last + 1])
    return [work.reshaped(work.x, [*work.shape[:first], inner, *work.shape[last + 1 :]])]


def _reshape(work: Work) -> list[str]:
    p, rank = work.parameters("reshape_param"), len(work.shape)
    first = p.axis if p.axis >= 0 else p.axis + rank + 1
    last = rank if p.num_axes == -1 else first + p.num_axes
    if not 0 <= first <= last <= rank:
        raise InputFileError(f"{work}: axis {p.axis} and num_axes {p.num_axes} for {rank} dimensions")
    dims = list(p.shape.dim)
    if any(size == 0 and first + place >= rank for place, size in enumerate(dims)) or dims.count(-1) > 1:
        raise InputFileError(f"{work}: a shape of {dims} for an array of shape {list(work.shape)}")
    sizes = [work.shape[first + place] if size == 0 else size for place, size in enumerate(dims)]
    target = [*work.shape[:first], *sizes, *work.shape[last:]]
    known = math.prod(size for size in target if size != -1)
    total = math.prod(work.shape)
    target = [total // known if size == -1 and known else size for size in target]
    if math.prod(target) != total or min(target, default=1) < 1:
        raise InputFileError(f"{work}: a shape of {dims} for an array of shape {list(work.shape)}")
    return [work.reshaped(work.x, target)]


def _permute(work: Work) -> list[str]:
    order, rank = list(work.parameters("permute_param").order), len(work.shape)
    if len(set(order)) != len(order) or any(axis >= rank for axis in order):
        raise InputFileError(f"{work}: an order of {order} for {rank} dimensions")
    order += [axis for axis in range(rank) if axis not in order]
    return [work.builder.add("Transpose", work.x, perm=order)]


def _softmax(work: Work) -> list[str]:
    return [work.builder.add("Softmax", work.x, axis=work.axis(work.parameters("softmax_param").axis))]


def _crop(work: Work) -> list[str]:
    p, like = work.parameters("crop_param"), work.builder.shape(work.bottom(1))
    first, rank = work.axis(p.axis), len(work.shape)
    axes = list(range(first, rank))
    offsets = list(p.offset) or [0]
    offsets = offsets * len(axes) if len(offsets) == 1 else offsets
    if len(offsets) != len(axes) or len(like) != rank:
        raise InputFileError(f"{work}: {len(offsets)} offsets from axis {first} on, blobs of {rank} and {len(like)}")
    ends = [offset + like[axis] for axis, offset in zip(axes, offsets, strict=True)]
    if any(end > work.shape[axis] for axis, end in zip(axes, ends, strict=True)):
        raise InputFileError(f"{work}: {list(like)} at {offsets} is not inside {list(work.shape)}")
    integers = work.builder.integers
    return [work.builder.add("Slice", work.x, integers(offsets), integers(ends), integers(axes))]


def _tile(work: Work) -> list[str]:
    p = work.parameters("tile_param")
    repeats = [1] * len(work.shape)
    repeats[work.axis(p.axis)] = p.tiles
    return [work.builder.add("Tile", work.x, work.builder.integers(repeats))]


def _reduction(work: Work) -> list[str]:
    p, axis = work.parameters("reduction_param"), work.axis(work.parameters("reduction_param").axis)
    axes = work.builder.integers(range(axis, len(work.shape)))
    value = work.builder.add(_REDUCTIONS[p.operation], work.x, axes, keepdims=0)
    return [value if p.coeff == 1 else work.builder.add("Mul", value, work.builder.number(p.coeff))]


def _argmax(work: Work) -> list[str]:
    """The places of the largest elements, as floats, and before them the elements if asked for."""
    p, builder = work.parameters("argmax_param"), work.builder
    along = p.HasField("axis")
    axis = work.axis(p.axis) if along else 1
    x = work.x if along else builder.add("Flatten", work.x, axis=1)
    values, places = builder.add_many("TopK", [x, builder.integers([p.top_k])], 2, axis=axis)
    places = builder.add("Cast", places, to=1)
    if along:
        return [values if p.out_max_val else places]
    batch = work.shape[0]
    shape = [batch, 1, p.top_k] + [1] * (max(len(work.shape), 3) - 3)
    found = [work.reshaped(places, shape)]
    if p.out_max_val:
        found.append(work.reshaped(values, shape))
    return [found[0] if len(found) == 1 else builder.add("Concat", *found, axis=1)]


LAYERS: Mapping[str, Translate] = {
    "ArgMax": _argmax,
    "Concat": _concat,
    "Crop": _crop,
    "Flatten": _flatten,
    "Permute": _permute,
    "Reduction": _reduction,
    "Reshape": _reshape,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": lambda work: [work.x] * len(work.layer.tops),
    "Tile": _tile,
}
