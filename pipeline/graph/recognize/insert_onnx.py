"""Adds ONNX operators on behalf of rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tvmopt.pipeline.graph.ir import ONNX, Editor, Node
from tvmopt.schedules.workload import Tensor


def add_slice(editor: Editor, node: Node, name: str, ranges: Mapping[int, tuple[int, int]]) -> str:
    """Slices `name` on behalf of `node`; returns the result's name, or `name` itself if nothing is cut off.

    Args:
        editor: gets the new operator.
        node: the node whose layers the operator belongs to.
        name: the name of a value.
        ranges: by axis, the first index and the one after the last.
    """
    tensor = editor.values[name]
    sizes = [len(range(*ranges.get(axis, (0, size)))) for axis, size in enumerate(tensor.shape)]
    if tuple(sizes) == tensor.shape:
        return name
    made = editor.value(f"{name}_slice", Tensor(tuple(sizes), tensor.dtype))
    starts, ends = zip(*ranges.values(), strict=True)
    bounds = {"starts": starts, "ends": ends, "axes": tuple(ranges)}
    inputs = [editor.constant(f"{made}_{what}", np.array(places, np.int64)) for what, places in bounds.items()]
    add_onnx(editor, node, "Slice", (name, *inputs), made)
    return made


def add_onnx(
    editor: Editor, node: Node, operator: str, inputs: tuple[str, ...], output: str, **attributes: Any
) -> None:
    """Adds an ONNX operator on behalf of `node`."""
    from onnx import helper

    proto = helper.make_node(operator, inputs, [output], name=node.layers[0], **attributes)
    editor.add(Node(ONNX, inputs, (output,), node.layers, proto=proto))
