"""Empty tensors: exporters write them where an optional operand is absent, and where there is nothing to join."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import numpy as np
import onnx
from onnx import numpy_helper

_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
_ABSENT_IF_EMPTY = {"Resize": (1, 2, 3), **{f"Reduce{name}": (1,) for name in _REDUCTIONS}}
"""By operator, the optional operands that mean the same when they are empty as when they are absent."""


def drop_empty_operands(graph: onnx.GraphProto) -> None:
    """Removes operands that are constants without elements, in place, where that changes nothing.

    The old `Resize` of opset 10 has no such operands: its constants are never empty.
    """
    empty = {tensor.name for tensor in graph.initializer if 0 in tensor.dims}
    if not empty:
        return
    for node in graph.node:
        if node.op_type == "Concat":
            _join_less(node, empty)
            continue
        for place in _ABSENT_IF_EMPTY.get(node.op_type, ()):
            if place < len(node.input) and node.input[place] in empty:
                node.input[place] = ""
        while node.input and not node.input[-1]:
            node.input.pop()


def drop_empty_values(graph: onnx.GraphProto) -> bool:
    """Removes computed values without elements, in place, where that changes nothing; returns whether it did.

    They come from a `Split` with a part of size 0 (a rotary embedding over the whole head), and end in a `Concat`.

    Args:
        graph: with the shapes of all values.
    """
    empty = {
        value.name
        for value in graph.value_info
        if any(dim.HasField("dim_value") and dim.dim_value == 0 for dim in value.type.tensor_type.shape.dim)
    }
    if not empty:
        return False
    for node in graph.node:
        if node.op_type == "Concat":
            _join_less(node, empty)
    used = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if node.op_type == "Split":
            _split_less(graph, node, empty - used)
        if used.intersection(node.output):
            used.update(node.input)
            kept.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del graph.node[:]
    graph.node.extend(reversed(kept))
    return True


def _join_less(node: onnx.NodeProto, empty: AbstractSet[str]) -> None:
    """Takes empty operands from a `Concat`, unless all of them are."""
    kept = [name for name in node.input if name not in empty]
    if kept:
        node.input[:] = kept
    if len(kept) == 1:
        node.op_type = "Identity"
        del node.attribute[:]


def _split_less(graph: onnx.GraphProto, node: onnx.NodeProto, unread: AbstractSet[str]) -> None:
    """Takes empty parts that nothing reads from a `Split` of constant sizes."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    sizes = stored.get(node.input[1]) if len(node.input) > 1 else None
    places = [place for place, name in enumerate(node.output) if name not in unread]
    if sizes is None or len(places) == len(node.output):
        return
    if len(places) == 1:
        del node.input[1:]
        node.op_type = "Identity"
        del node.attribute[:]
    else:
        made = numpy_helper.from_array(np.take(numpy_helper.to_array(sizes), places), f"{node.output[0]}_sizes")
        graph.initializer.append(made)
        node.input[1] = made.name
    node.output[:] = [node.output[place] for place in places]
