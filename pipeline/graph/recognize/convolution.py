"""Convolutions over lines, images and volumes with constant weights."""

from __future__ import annotations

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Editor, Node
from tvmopt.pipeline.graph.recognize.images import add_image, as_image, kernel_image, window_of
from tvmopt.schedules.expression import ACC, Arg, Expr, call
from tvmopt.schedules.workload import Attr


def convolution(editor: Editor, node: Node) -> bool:
    """Conv → ``conv2d``, or ``depthwise_conv2d`` when each channel has its own kernel; ``conv3d`` across planes."""
    data, weight = node.inputs[:2]
    tensor = editor.graph.tensor(data)
    if data in editor.constants or weight not in editor.constants:
        return False
    if len(tensor.shape) not in (3, 4, 5) or tensor.dtype != "float32":
        return False
    values = attributes(node)
    kernel = editor.constants[weight].shape
    window = window_of(values, tensor.shape[2:], kernel[2:])
    if min(window.pads) < 0 or min(window.depth, default=0) < 0:
        return False
    groups = int(values.get("group", 1))
    bias = bias_of(editor, node)
    if bias is None:
        return False
    inputs = (as_image(editor, node, data), kernel_image(editor, weight), *bias)
    depthwise = groups == tensor.shape[1] == kernel[0] and groups > 1
    attrs: dict[str, Attr] = {**window.attrs(), "dilations": window.dilations, "groups": groups}
    op = "conv3d" if window.depth else "depthwise_conv2d" if depthwise else "conv2d"
    epilogue: Expr = call("add", ACC, Arg(2)) if bias else ACC
    add_image(editor, Node(op, inputs, node.outputs, node.layers, attrs, epilogue))
    return True


def bias_of(editor: Editor, node: Node) -> tuple[str, ...] | None:
    """The bias of a convolution as a constant with a value for each channel; empty without one, None if computed."""
    if len(node.inputs) < 3 or not node.inputs[2]:
        return ()
    if node.inputs[2] not in editor.constants:
        return None
    bias = editor.constants[node.inputs[2]].reshape(1, -1, 1, 1)
    return (editor.constant(f"{node.inputs[2]}_by_channel", np.ascontiguousarray(bias)),)


RULES = {"Conv": convolution}
