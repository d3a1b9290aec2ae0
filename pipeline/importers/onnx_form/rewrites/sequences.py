"""Sequences of tensors whose number is known: each operator works on the list of the tensors' names."""

from __future__ import annotations

import numpy as np
import onnx

from tvmopt.pipeline.importers.onnx_form.rewrites.draft import (
    Draft,
    NotKnownError,
    Rule,
    attributes_of,
    input_of,
)


def _items(draft: Draft, name: str) -> tuple[str, ...]:
    if name not in draft.sequences:
        raise NotKnownError(name)
    return draft.sequences[name]


def _place(draft: Draft, node: onnx.NodeProto, index: int, size: int) -> int:
    """The place in a sequence that an operand names; behind the last of `size` where it is absent."""
    if not input_of(node, index):
        return size
    place = int(draft.constant(node.input[index]).reshape(-1)[0])
    return place + size if place < 0 else place


def empty(draft: Draft, node: onnx.NodeProto) -> bool:
    """SequenceEmpty."""
    draft.sequences[node.output[0]] = ()
    return True


def construct(draft: Draft, node: onnx.NodeProto) -> bool:
    """SequenceConstruct."""
    draft.sequences[node.output[0]] = tuple(node.input)
    return True


def insert(draft: Draft, node: onnx.NodeProto) -> bool:
    """SequenceInsert."""
    items = list(_items(draft, node.input[0]))
    items.insert(_place(draft, node, 2, len(items)), node.input[1])
    draft.sequences[node.output[0]] = tuple(items)
    return True


def erase(draft: Draft, node: onnx.NodeProto) -> bool:
    """SequenceErase, by default of the last."""
    items = list(_items(draft, node.input[0]))
    del items[min(_place(draft, node, 1, len(items)), len(items) - 1)]
    draft.sequences[node.output[0]] = tuple(items)
    return True


def at(draft: Draft, node: onnx.NodeProto) -> bool:
    """SequenceAt."""
    items = _items(draft, node.input[0])
    draft.give(node.output[0], items[_place(draft, node, 1, len(items))])
    return True


def length(draft: Draft, node: onnx.NodeProto) -> bool:
    """SequenceLength."""
    draft.give(node.output[0], draft.store(len(_items(draft, node.input[0])), np.int64))
    return True


def join(draft: Draft, node: onnx.NodeProto) -> bool:
    """ConcatFromSequence, along an axis of the tensors or a new one."""
    values, items = attributes_of(node), _items(draft, node.input[0])
    axis = int(values["axis"])
    if values.get("new_axis", 0):
        items = tuple(draft.add("Unsqueeze", item, draft.ints(axis)) for item in items)
    draft.give(node.output[0], draft.add("Concat", *items, axis=axis))
    return True


def split(draft: Draft, node: onnx.NodeProto) -> bool:
    """SplitToSequence, into parts of given sizes, of one size, or of one element each."""
    values, shape = attributes_of(node), draft.shape(node.input[0])
    axis = int(values.get("axis", 0)) % len(shape)
    size = shape[axis]
    if input_of(node, 1):
        given = draft.constant(node.input[1])
        step = int(given) if given.ndim == 0 else 0
        sizes = [min(step, size - first) for first in range(0, size, step)] if step else [int(part) for part in given]
    else:
        sizes = [1] * size
    ends = np.cumsum(sizes)
    items = [draft.slice(node.input[0], axis, int(end) - part, int(end)) for part, end in zip(sizes, ends, strict=True)]
    if not input_of(node, 1) and not values.get("keepdims", 1):
        items = [draft.add("Squeeze", item, draft.ints(axis)) for item in items]
    draft.sequences[node.output[0]] = tuple(items)
    return True


RULES: dict[str, Rule] = {
    "SequenceEmpty": empty,
    "SequenceConstruct": construct,
    "SequenceInsert": insert,
    "SequenceErase": erase,
    "SequenceAt": at,
    "SequenceLength": length,
    "ConcatFromSequence": join,
    "SplitToSequence": split,
}
