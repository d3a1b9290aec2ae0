"""Operators that TVM's importer gets wrong for some element types, written out in operators that it gets right."""

from __future__ import annotations

import math

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Editor, Node
from tvmopt.pipeline.graph.recognize.insert_onnx import add_onnx


def mean_of_integers(editor: Editor, node: Node) -> bool:
    """ReduceMean of integers, for which TVM would change their type: a sum, divided and rounded towards zero."""
    tensor, made = (editor.graph.tensor(name) for name in (node.inputs[0], node.output))
    if np.dtype(tensor.dtype).kind not in "iu":
        return False
    values = attributes(node)
    axes = values.get("axes")
    if len(node.inputs) > 1 and node.inputs[1]:
        if node.inputs[1] not in editor.constants:
            return False
        axes = editor.constants[node.inputs[1]].reshape(-1).tolist()
    if not axes and values.get("noop_with_empty_axes", 0):
        return False
    rank = len(tensor.shape)
    chosen = sorted(int(axis) % rank for axis in axes) if axes else list(range(rank))
    total = editor.value(f"{node.output}_sum", made)
    keep = int(values.get("keepdims", 1))
    if editor.graph.opset >= 13:
        taken = (node.inputs[0], editor.constant(f"{total}_axes", np.array(chosen, np.int64)))
        add_onnx(editor, node, "ReduceSum", taken, total, keepdims=keep)
    else:
        add_onnx(editor, node, "ReduceSum", node.inputs[:1], total, keepdims=keep, axes=chosen)
    count = np.array(math.prod(tensor.shape[axis] for axis in chosen), tensor.dtype)
    add_onnx(editor, node, "Div", (total, editor.constant(f"{total}_count", count)), node.output)
    return True
