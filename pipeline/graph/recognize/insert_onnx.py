"""Operators of ONNX that rules put in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tvmopt.pipeline.graph.ir import ONNX, Editor, Node
from tvmopt.schedules.workload import Tensor


def add_slice(editor: Editor, node: Node, name: str, ranges: Mapping[int, tuple[int, int]]) -> str:
    """Cuts `name` on behalf of `node`; gives the name of the result, `name` itself where nothing is cut off.

    Args:
        editor: takes what is added.
        node: whose layers it belongs to.
        name: of a value.
        ranges: by axis the first place and the one behind the last.
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
    """Adds an operator of ONNX on behalf of `node`."""
    from onnx import helper

    proto = helper.make_node(operator, inputs, [output], name=node.layers[0], **attributes)
    editor.add(Node(ONNX, inputs, (output,), node.layers, proto=proto))
