"""Convolutions over images with constant weights."""

from __future__ import annotations

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes, window_pads
from tvmopt.pipeline.graph.ir import Editor, Node
from tvmopt.schedules.expression import ACC, Arg, Expr, call
from tvmopt.schedules.workload import Attr


def convolution(editor: Editor, node: Node) -> bool:
    """Conv in two dimensions → ``conv2d``, or ``depthwise_conv2d`` when each channel has its own kernel."""
    data, weight = node.inputs[:2]
    tensor = editor.graph.tensor(data)
    if data in editor.constants or weight not in editor.constants:
        return False
    if len(tensor.shape) != 4 or tensor.dtype != "float32":
        return False
    values = attributes(node)
    kernel = editor.constants[weight].shape
    strides = tuple(int(x) for x in values.get("strides", (1, 1)))
    dilations = tuple(int(x) for x in values.get("dilations", (1, 1)))
    pads = window_pads(values, tensor.shape[2:], kernel[2:], strides, dilations)
    if min(pads) < 0:
        return False
    groups = int(values.get("group", 1))
    inputs: list[str] = [data, weight]
    epilogue: Expr = ACC
    if len(node.inputs) > 2 and node.inputs[2]:
        if node.inputs[2] not in editor.constants:
            return False
        bias = editor.constants[node.inputs[2]].reshape(1, -1, 1, 1)
        inputs.append(editor.constant(f"{node.inputs[2]}_by_channel", np.ascontiguousarray(bias)))
        epilogue = _plus(2)
    depthwise = groups == tensor.shape[1] == kernel[0] and groups > 1
    attrs: dict[str, Attr] = {"strides": strides, "dilations": dilations, "pads": pads, "groups": groups}
    op = "depthwise_conv2d" if depthwise else "conv2d"
    editor.add(Node(op, tuple(inputs), node.outputs, node.layers, attrs, epilogue))
    return True


def _plus(index: int) -> Expr:
    return call("add", ACC, Arg(index))


RULES = {"Conv": convolution}
