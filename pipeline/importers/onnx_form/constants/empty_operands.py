"""Empty constants: exporters write them where an optional operand is absent, and where there is nothing to join."""

from __future__ import annotations

import onnx

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
            kept = [name for name in node.input if name not in empty]
            if kept:
                node.input[:] = kept
            if len(kept) == 1:
                node.op_type = "Identity"
                del node.attribute[:]
            continue
        for place in _ABSENT_IF_EMPTY.get(node.op_type, ()):
            if place < len(node.input) and node.input[place] in empty:
                node.input[place] = ""
        while node.input and not node.input[-1]:
            node.input.pop()
