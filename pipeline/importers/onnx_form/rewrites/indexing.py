"""Operators that choose, place or count elements by their indices."""

from __future__ import annotations

import numpy as np
import onnx

from tvmopt.pipeline.importers.onnx_form.rewrites.draft import (
    Array,
    Draft,
    Rule,
    attributes_of,
    input_of,
    output_of,
)


def one_hot(draft: Draft, node: onnx.NodeProto) -> bool:
    """OneHot of constant depth, as a comparison of the indices with all places."""
    index, depth_name, choice = node.input
    depth = int(draft.constant(depth_name).reshape(-1)[0])
    rank, kind = len(draft.shape(index)), draft.dtype(index)
    axis = int(attributes_of(node).get("axis", -1)) % (rank + 1)
    if kind.kind != "f":  # a float with a fraction is no place
        index, kind = draft.cast(index, np.int64), np.dtype(np.int64)
    from_end = draft.add("Add", index, draft.store(depth, kind))
    counted = draft.add("Where", draft.add("Less", index, draft.store(0, kind)), from_end, index)
    places = draft.store(np.arange(depth).reshape(-1, *[1] * (rank - axis)), kind)
    here = draft.add("Equal", draft.add("Unsqueeze", counted, draft.ints(axis)), places)
    off, on = (draft.reshape(draft.take(choice, [place], 0), (1,) * (rank + 1)) for place in (0, 1))
    draft.give(node.output[0], draft.add("Where", here, on, off))
    return True


def tensor_scatter(draft: Draft, node: onnx.NodeProto) -> bool:
    """TensorScatter, which writes into a cache at one place for each sequence, as ScatterElements."""
    values = attributes_of(node)
    cache, update = node.input[:2]
    shape, size = draft.shape(update), draft.shape(cache)
    rank = len(shape)
    axis = int(values.get("axis", -2)) % rank
    steps = np.arange(shape[axis]).reshape(-1, *[1] * (rank - axis - 1))
    first = input_of(node, 2)
    start = draft.reshape(first, (-1, *[1] * (rank - 1))) if first else draft.store(np.zeros([1] * rank), np.int64)
    index = draft.add("Add", draft.cast(start, np.int64), draft.store(steps, np.int64))
    if values.get("mode", "linear") == "circular":
        index = draft.add("Mod", index, draft.store(size[axis], np.int64))
    places = draft.add("Expand", index, draft.ints(*shape))
    draft.give(node.output[0], draft.add("ScatterElements", cache, places, update, axis=axis))
    return True


def reverse_sequence(draft: Draft, node: onnx.NodeProto) -> bool:
    """ReverseSequence: within each sequence's length, elements are taken from its end."""
    values, (data, lengths) = attributes_of(node), node.input
    shape = draft.shape(data)
    time, batch = int(values.get("time_axis", 0)), int(values.get("batch_axis", 1))
    column, row = [1] * len(shape), [1] * len(shape)
    column[time], row[batch] = shape[time], shape[batch]
    step = draft.store(np.arange(shape[time]).reshape(column), np.int64)
    length = draft.reshape(draft.cast(lengths, np.int64), row)
    back = draft.add("Sub", draft.add("Sub", length, draft.store(1, np.int64)), step)
    index = draft.add("Where", draft.add("Less", step, length), back, step)
    places = draft.add("Expand", index, draft.ints(*shape))
    draft.give(node.output[0], draft.add("GatherElements", data, places, axis=time))
    return True


def term_counts(draft: Draft, node: onnx.NodeProto) -> bool:
    """TfIdfVectorizer of numbers: how often each n-gram of a pool occurs, times its weight."""
    values, data = attributes_of(node), node.input[0]
    pool, shape = values.get("pool_int64s"), draft.shape(data)
    if not pool:
        return False
    rows, counts = draft.cast(data, np.int64), []
    for size, grams in _grams(pool, values["ngram_counts"]):
        wanted = values["min_gram_length"] <= size <= values["max_gram_length"]
        windows = _windows(shape[-1], size, values["max_skip_count"]) if wanted else np.zeros((0, size), np.int64)
        counts.append(
            _occurrences(draft, rows, windows, grams)
            if len(windows)
            else draft.store(np.zeros((*shape[:-1], len(grams))), np.float32)
        )
    axis = len(shape) - 1
    joined = draft.add("Concat", *counts, axis=axis) if len(counts) > 1 else counts[0]
    order = np.argsort(values["ngram_indexes"])
    found = draft.take(joined, order, axis)
    weights = draft.store(np.array(values.get("weights", np.ones(len(order))), np.float32)[order])
    if values["mode"] == "IDF":
        none = draft.store(0, np.float32)
        draft.give(node.output[0], draft.add("Where", draft.add("Greater", found, none), weights, none))
    else:
        draft.give(node.output[0], found if values["mode"] == "TF" else draft.add("Mul", found, weights))
    return True


def _grams(pool: list[int], starts: list[int]) -> list[tuple[int, Array]]:
    """The n-grams of a pool by their length: each length's have rows of that many numbers."""
    ends = [*starts[1:], len(pool)]
    groups = enumerate(zip(starts, ends, strict=True), start=1)
    return [(size, np.array(pool[start:end]).reshape(-1, size)) for size, (start, end) in groups if end > start]


def _windows(length: int, size: int, skips: int) -> Array:
    """Rows of `size` places in a row of `length` numbers, with the same number of others, up to `skips`, between."""
    steps = range(1, skips + 2) if size > 1 else (1,)
    rows = [first + step * np.arange(size) for step in steps for first in range(length - (size - 1) * step)]
    return np.array(rows, np.int64).reshape(-1, size)


def _occurrences(draft: Draft, rows: str, windows: Array, grams: Array) -> str:
    """How often each of `grams` is in one of the `windows` on the last axis of `rows`, in float32."""
    same = ""
    for part in range(grams.shape[1]):
        taken = draft.add("Unsqueeze", draft.take(rows, windows[:, part], -1), draft.ints(-1))
        equal = draft.add("Equal", taken, draft.store(grams[:, part], np.int64))
        same = draft.add("And", same, equal) if same else equal
    return draft.reduce("ReduceSum", draft.cast(same, np.float32), [-2], keepdims=False)


def split(draft: Draft, node: onnx.NodeProto) -> bool:
    """Split into parts of which some are empty, as slices."""
    parts = [draft.shape(name) for name in node.output]
    if not any(0 in part for part in parts):
        return False
    axis = int(attributes_of(node).get("axis", 0)) % len(parts[0])
    first = 0
    for name, part in zip(node.output, parts, strict=True):
        if 0 in part:
            draft.give(name, draft.store(np.zeros(part), draft.dtype(node.input[0])))
        else:
            draft.give(name, draft.slice(node.input[0], axis, first, first + part[axis]))
        first += part[axis]
    return True


def dropout(draft: Draft, node: onnx.NodeProto) -> bool:
    """Dropout that drops nothing though it trains, or that has a mask."""
    values = attributes_of(node)
    ratio = draft.constant(node.input[1]) if input_of(node, 1) else np.array(values.get("ratio", 0.5))
    training = bool(draft.constant(node.input[2])) if input_of(node, 2) else False
    mask = output_of(node, 1)
    if (training and ratio != 0) or not (training or mask):
        return False
    draft.give(node.output[0], node.input[0])
    if mask:
        draft.give(mask, draft.store(np.ones(draft.shape(node.input[0])), draft.dtype(mask)))
    return True


RULES: dict[str, Rule] = {
    "OneHot": one_hot,
    "TensorScatter": tensor_scatter,
    "ReverseSequence": reverse_sequence,
    "TfIdfVectorizer": term_counts,
    "Split": split,
    "Dropout": dropout,
}
