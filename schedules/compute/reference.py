"""What every workload should compute, in numpy: the reference for kernels, independent of TVM."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.compute.attention import stored, views_of
from tvmopt.schedules.compute.reference_expression import evaluate
from tvmopt.schedules.compute.reference_pooling import pool2d, windows
from tvmopt.schedules.compute.reference_recurrence import recurrence
from tvmopt.schedules.dtypes import FLOAT32, dtype_of
from tvmopt.schedules.workload import Workload

Array = npt.NDArray[Any]


def reference(workload: Workload, inputs: Sequence[Array]) -> Array:
    """The logical output of `workload`.

    Args:
        workload: what to compute.
        inputs: logical arrays (feature maps NCHW), one for each of the workload's inputs.

    Raises:
        ValueError: for an operator that has no kernels here.
    """
    if workload.op not in REFERENCES:
        raise ValueError(f"no reference for operator {workload.op!r}")
    accumulated = REFERENCES[workload.op](workload, inputs)
    result = np.broadcast_to(evaluate(workload.epilogue, accumulated, inputs), workload.output.shape)
    return _stored(result, workload.output.dtype)


def _stored(result: Array, dtype: str) -> Array:
    """`result` as elements of `dtype`; for integers it is rounded half to even and saturates."""
    if dtype_of(dtype).kind in ("int", "uint") and result.dtype.kind == "f":
        limits = np.iinfo(dtype)
        result = np.clip(np.rint(result), limits.min, limits.max)
    return result.astype(dtype, copy=False)


def _summed(array: Array) -> Array:
    """`array` in the type that accumulates products of its elements."""
    return array.astype(dtype_of(array.dtype.name).accumulator, copy=False)


def _nothing(workload: Workload, inputs: Sequence[Array]) -> Any:
    return None


def _first(workload: Workload, inputs: Sequence[Array]) -> Array:
    return inputs[0]


def _copy(workload: Workload, inputs: Sequence[Array]) -> Array:
    memory = workload.inputs[0].store(inputs[0]).reshape(-1)
    strides = [stride * memory.itemsize for stride in workload.attr("strides")]
    view = np.lib.stride_tricks.as_strided(memory[workload.attr("offset") :], workload.attr("sizes"), strides)
    if view.size > workload.output.elements:
        # Rows of whole blocks of channels, of which the last is not full.
        rows = view.reshape(*view.shape[:-2], -1)
        view = rows[..., : workload.output.elements // math.prod(view.shape[:-2])]
    return np.ascontiguousarray(view).reshape(workload.output.shape)


def _pad(workload: Workload, inputs: Sequence[Array]) -> Array:
    amounts = list(zip(workload.attr("before"), workload.attr("after"), strict=True))
    mode, fill = workload.attr("mode"), workload.attr("fill")
    options = {"constant_values": fill} if mode == "constant" else {}
    padded = np.pad(inputs[0], [(max(before, 0), max(after, 0)) for before, after in amounts], mode, **options)
    kept = [
        slice(max(-before, 0), size - max(-after, 0))
        for (before, after), size in zip(amounts, padded.shape, strict=True)
    ]
    return padded[tuple(kept)]


def _concat(workload: Workload, inputs: Sequence[Array]) -> Array:
    return np.concatenate(inputs, axis=1)


def _channels(workload: Workload, inputs: Sequence[Array]) -> Array:
    return np.concatenate(inputs, axis=1)[:, list(workload.attr("channels"))]


def _dense(workload: Workload, inputs: Sequence[Array]) -> Array:
    left, right = map(_summed, inputs[:2])
    attrs = dict(workload.attrs)
    left, right = left - left.dtype.type(attrs.get("zero", 0)), right - right.dtype.type(attrs.get("right_zero", 0))
    return np.asarray(np.matmul(left, right))


def _conv2d(workload: Workload, inputs: Sequence[Array]) -> Array:
    data, weight = map(_summed, inputs[:2])
    data = data - data.dtype.type(dict(workload.attrs).get("zero", 0))
    kernel = weight.shape[2:]
    groups = workload.attr("groups")
    under = windows(workload, data, (kernel[0], kernel[1]), 0.0)
    n, channels, height, width = under.shape[:4]
    per_group = channels // groups
    if per_group == 1 and weight.shape[0] == channels:
        return np.asarray(np.einsum("nchwij,cij->nchw", under, weight[:, 0]))
    outputs = []
    for group in range(groups):
        part = under[:, group * per_group : (group + 1) * per_group]
        columns = part.transpose(0, 2, 3, 1, 4, 5).reshape(n * height * width, -1)
        share = weight.shape[0] // groups
        kernels = weight[group * share : (group + 1) * share].reshape(share, -1)
        outputs.append((columns @ kernels.T).reshape(n, height, width, share).transpose(0, 3, 1, 2))
    return np.concatenate(outputs, axis=1)


def _separable_conv2d(workload: Workload, inputs: Sequence[Array]) -> Array:
    middle = evaluate(workload.inner, _conv2d(workload, inputs), inputs)
    return np.asarray(np.einsum("nchw,oc->nohw", middle, inputs[2][:, :, 0, 0], optimize=True))


def _expanded_conv2d(workload: Workload, inputs: Sequence[Array]) -> Array:
    wide = np.einsum("nihw,ci->nchw", inputs[0], inputs[2][:, :, 0, 0], optimize=True)
    depthwise = replace(workload, attrs=tuple(sorted((*workload.attrs, ("groups", wide.shape[1])))))
    return _conv2d(depthwise, [evaluate(workload.inner, wide, inputs), inputs[1]])


def _conv3d(workload: Workload, inputs: Sequence[Array]) -> Array:
    """The sum over the window's planes of convolutions of images."""
    window, stride, dilation, size, before, _ = workload.attr("depth")
    data, weight = inputs[:2]
    volumes = data.shape[0] // size
    made = workload.output.shape[0] // volumes
    planes = data.reshape(volumes, size, *data.shape[1:])
    behind = max(0, (made - 1) * stride + (window - 1) * dilation + 1 - before - size)
    planes = np.pad(planes, ((0, 0), (before, behind), (0, 0), (0, 0), (0, 0)))
    parts = []
    for place, kernel in enumerate(np.split(weight, window, axis=2)):
        read = planes[:, place * dilation :][:, : (made - 1) * stride + 1 : stride]
        parts.append(_conv2d(workload, [read.reshape(-1, *data.shape[1:]), kernel]))
    return np.asarray(sum(parts))


def _transposed_conv2d(workload: Workload, inputs: Sequence[Array]) -> Array:
    """Each element of the data is multiplied with all taps, and the products are added where they belong."""
    data, weight = map(_summed, inputs[:2])
    strides, dilations, pads, groups = (workload.attr(x) for x in ("strides", "dilations", "pads", "groups"))
    n, _, *size = data.shape
    kernel, (rows, columns) = weight.shape[2:], workload.output.shape[2:]
    reach = [
        max((size[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1, pads[i] + workload.output.shape[2 + i])
        for i in range(2)
    ]
    whole = np.zeros((n, weight.shape[0], *reach), data.dtype)
    parts = zip(np.split(data, groups, 1), np.split(weight, groups), np.split(whole, groups, 1), strict=True)
    for part, kernels, made in parts:
        for i, j in np.ndindex(*kernel):
            y, x = i * dilations[0], j * dilations[1]
            last = y + (size[0] - 1) * strides[0] + 1, x + (size[1] - 1) * strides[1] + 1
            products = np.einsum("nchw,oc->nohw", part, kernels[:, :, i, j], optimize=True)
            made[:, :, y : last[0] : strides[0], x : last[1] : strides[1]] += products
    return np.asarray(whole[:, :, pads[0] : pads[0] + rows, pads[1] : pads[1] + columns])


def _depth_to_space(workload: Workload, inputs: Sequence[Array]) -> Array:
    (rows, columns), data = workload.attr("strides"), inputs[0]
    n, channels, height, width = workload.output.shape
    lines, squares = data.shape[2:]
    if workload.attr("order") == "CRD":
        parts = data.reshape(n, channels, rows, columns, lines, squares).transpose(0, 1, 4, 2, 5, 3)
    else:
        parts = data.reshape(n, rows, columns, channels, lines, squares).transpose(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, channels, lines * rows, squares * columns)[:, :, :height, :width]


def _top_k(workload: Workload, inputs: Sequence[Array]) -> Array:
    """Sorts the numbers of the values that occur, in which NaN is the last and 0 and -0 are one."""
    _, numbers = np.unique(inputs[0], return_inverse=True)
    numbers = numbers.reshape(inputs[0].shape)
    order = np.argsort(-numbers if workload.attr("largest") else numbers, axis=1, kind="stable")
    return order[:, : workload.output.shape[1]]


def _pick(workload: Workload, inputs: Sequence[Array]) -> Array:
    return np.take_along_axis(inputs[0], inputs[1], axis=1)


def _take(workload: Workload, inputs: Sequence[Array]) -> Array:
    data, places = inputs
    places = np.broadcast_to(places, (data.shape[0], *places.shape[1:]))
    rows = np.ravel_multi_index(tuple(np.moveaxis(places, 2, 0)), workload.attr("sizes"))
    taken: Array = data[np.arange(len(data))[:, None], rows]
    return taken


@np.errstate(invalid="ignore")
def _suppress(workload: Workload, inputs: Sequence[Array]) -> Array:
    """The boxes of a class in the order of their scores; each goes that shares too much with one that stays."""
    boxes, scores = inputs
    marks, overlap = np.zeros_like(scores), np.float32(workload.attr("overlap"))
    places = np.full(workload.output.shape, -1, np.int64)
    first, second = boxes[..., :2], boxes[..., 2:]
    if workload.attr("center"):
        low, high = first - second / np.float32(2), first + second / np.float32(2)
    else:
        low, high = np.minimum(first, second), np.maximum(first, second)
    for image, kind in np.ndindex(scores.shape[:2]):
        row = scores[image, kind]
        kept: list[int] = []
        enough = row > np.float32(workload.attr("limit")) if workload.attr("limited") else ~np.isnan(row)
        for place in np.argsort(-row, kind="stable"):
            box = low[image, place], high[image, place]
            shared = [_overlap(box, (low[image, other], high[image, other])) for other in kept]
            if enough[place] and len(kept) < workload.attr("most") and not max(shared, default=0) > overlap:
                kept.append(int(place))
        marks[image, kind, kept] = 1
        if workload.output.dtype == "int64":
            places[image, kind, : len(kept)] = kept
    return places if workload.output.dtype == "int64" else marks


def _find(workload: Workload, inputs: Sequence[Array]) -> Array:
    """The places of what is true, zeros behind them."""
    (places,) = np.nonzero(inputs[0])
    return np.pad(places, (0, inputs[0].size - places.size))


def _overlap(one: tuple[Array, Array], two: tuple[Array, Array]) -> float:
    """The part of their union that two boxes share; 0 if a number is NaN or infinite."""
    shared = np.minimum(one[1], two[1]) - np.maximum(one[0], two[0])
    both, *areas = (np.prod(sides) for sides in (shared, one[1] - one[0], two[1] - two[0]))
    if not (np.all(shared > 0) and both > 0 and min(areas) > 0):
        return 0.0
    ratio = both / (areas[0] + areas[1] - both)
    return 0.0 if np.isnan(ratio) else float(ratio)


def _reduce(workload: Workload, inputs: Sequence[Array]) -> Array:
    function: Any = {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min}[workload.attr("kind")]
    return np.asarray(function(inputs[0], axis=1, keepdims=True))


def _norm(workload: Workload, inputs: Sequence[Array]) -> Array:
    data = inputs[0].astype(np.float64)
    # Maps are normalised in groups of channels; plain tensors are seen as (images, groups, channels, pixels).
    groups = dict(workload.attrs).get("groups", data.shape[1])
    assert isinstance(groups, int)
    rows = data.reshape(data.shape[0], groups, -1)
    if workload.attr("kind") == "standard":
        rows = rows - rows.mean(axis=2, keepdims=True)
    squares = np.square(rows).mean(axis=2, keepdims=True)
    normalized = rows / np.sqrt(squares + workload.attr("epsilon"))
    return np.asarray(normalized.reshape(data.shape), np.float32)


def _channel_norm(workload: Workload, inputs: Sequence[Array]) -> Array:
    """Each pixel as an image of one pixel."""
    data = np.moveaxis(inputs[0], 1, -1)
    attrs = tuple(sorted({**dict(workload.attrs), "groups": 1}.items()))
    pixels = _norm(Workload(workload.op, (), workload.output, attrs), [data.reshape(-1, data.shape[-1])])
    return np.moveaxis(pixels.reshape(data.shape), -1, 1)


def _lrn(workload: Workload, inputs: Sequence[Array]) -> Array:
    data = inputs[0].astype(np.float64)
    size, channels = int(workload.attr("size")), data.shape[1]
    before = (size - 1) // 2
    squares = np.pad(np.square(data), [(0, 0), (before, size - 1 - before)] + [(0, 0)] * (data.ndim - 2))
    total = sum(squares[:, first : first + channels] for first in range(size))
    with np.errstate(all="ignore"):
        base = workload.attr("bias") + workload.attr("alpha") / size * total
        return np.asarray(data / np.power(base, workload.attr("beta")), np.float32)


def _softmax(workload: Workload, inputs: Sequence[Array]) -> Array:
    shifted = np.exp(inputs[0] - inputs[0].max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def _attention(workload: Workload, inputs: Sequence[Array]) -> Array:
    query, key, value, *operands = views_of(workload, inputs)
    products = np.matmul(query.astype(np.float64), key.astype(np.float64).swapaxes(-1, -2))
    scores = evaluate(workload.inner, products.astype(FLOAT32), [query, key, value, *operands]).astype(np.float64)
    with np.errstate(invalid="ignore"):
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
    if workload.attr("guard"):
        weights = np.where(np.isnan(weights), 0.0, weights)
    result: Array = np.matmul(weights, value.astype(np.float64)).astype(FLOAT32)
    return stored(workload, result)


def _resize2d(workload: Workload, inputs: Sequence[Array]) -> Array:
    data, row_index, row_weight, column_index, column_weight = inputs[:5]
    taps = workload.attr("taps")
    rows = row_index.reshape(-1, taps)
    columns = column_index.reshape(-1, taps)
    row_weights, column_weights = row_weight.reshape(-1, taps), column_weight.reshape(-1, taps)
    if data.dtype.kind == "u" and taps == 1:
        return np.asarray(data[:, :, rows[:, 0]][..., columns[:, 0]])
    if data.dtype.kind == "u":
        data = data.astype(FLOAT32) - np.float32(workload.attr("zero"))
    lines = np.stack([data[:, :, rows[:, t]] * row_weights[:, t, None] for t in range(taps)]).sum(axis=0)
    return np.asarray(np.stack([lines[..., columns[:, t]] * column_weights[:, t] for t in range(taps)]).sum(axis=0))


REFERENCES: Mapping[str, Callable[[Workload, Sequence[Array]], Any]] = {
    "conv2d": _conv2d,
    "integer_conv2d": _conv2d,
    "integer_depthwise_conv2d": _conv2d,
    "depthwise_conv2d": _conv2d,
    "separable_conv2d": _separable_conv2d,
    "expanded_conv2d": _expanded_conv2d,
    "conv3d": _conv3d,
    "transposed_conv2d": _transposed_conv2d,
    "dense": _dense,
    "integer_dense": _dense,
    "recurrence": recurrence,
    "pool2d": pool2d,
    "pointwise": _nothing,
    "relayout": _first,
    "copy": _copy,
    "pad": _pad,
    "concat": _concat,
    "channels": _channels,
    "depth_to_space": _depth_to_space,
    "reduce": _reduce,
    "row_norm": _norm,
    "map_norm": _norm,
    "channel_norm": _channel_norm,
    "lrn": _lrn,
    "softmax": _softmax,
    "attention": _attention,
    "resize2d": _resize2d,
    "top_k": _top_k,
    "pick": _pick,
    "take": _take,
    "suppress": _suppress,
    "find": _find,
}
"""Computes each operator of `schedules.operators` from its own operands, before its epilogue."""
