"""Two 1×1 convolutions with nothing between are one. Returns a new graph.

Networks leave no activation out by chance: a bottleneck projects to a few channels and widens them again, which one
matrix would make dearer. But heads (SegFormer's) widen each map to a common number of channels, and mix these next.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from tvmopt.pipeline.graph.ir import Array, Editor, Graph, Node, as_float32, rewrite
from tvmopt.schedules.expression import ACC, Arg, call, replace_result
from tvmopt.schedules.target import Target

_SHIFTED = call("add", ACC, Arg(2))


def is_mixer(graph: Graph | Editor, node: Node) -> bool:
    """Whether `node` is a convolution that only combines the channels of each pixel, in float32."""
    if node.op != "conv2d" or node.inputs[1] not in graph.constants:
        return False
    weight = graph.constants[node.inputs[1]]
    plain = node.attrs["groups"] == 1 and node.attrs["strides"] == (1, 1) and node.attrs["pads"] == (0, 0, 0, 0)
    return plain and not node.attrs.get("depth") and weight.shape[2:] == (1, 1) and weight.dtype == np.float32


def compose_mixers(graph: Graph, target: Target) -> Graph:
    """Replaces a 1×1 convolution of a 1×1 convolution wherever one takes less arithmetic and nothing reads the middle.

    Infinite numbers of both signs in the middle would have become NaN, where one convolution makes an infinity. The
    result does not tell which of the two it stands for, so nothing changes where NaN matters.
    """
    if target.strict_nan:
        return graph
    uses = graph.uses()
    makers: dict[str, Node] = {}

    def rule(editor: Editor, node: Node) -> bool:
        first = makers.get(node.inputs[0]) if node.inputs and uses[node.inputs[0]] == 1 else None
        composed = _composed(editor, first, node)
        if composed is not None:
            editor.add(composed)
        if is_mixer(editor, composed or node):
            makers[node.output] = composed or node
        return composed is not None

    return rewrite(graph, rule)


def _composed(editor: Editor, first: Node | None, second: Node) -> Node | None:
    """`second` behind `first` as one convolution; None where that is none, or is dearer."""
    if first is None or not is_mixer(editor, second):
        return None
    inner, outer = (editor.constants[node.inputs[1]][:, :, 0, 0].astype(np.float64) for node in (first, second))
    if outer.shape[0] * inner.shape[1] >= inner.size + outer.size:
        return None
    bias = _bias(editor, first, inner.shape[0])
    if bias is None:
        return None
    weight = editor.constant(f"{second.inputs[1]}_composed", as_float32(outer @ inner)[:, :, None, None])
    inputs, epilogue = (first.inputs[0], weight, *second.inputs[2:]), second.epilogue
    if np.any(bias):
        shift = as_float32(outer @ bias).reshape(1, -1, 1, 1)
        inputs = (*inputs, editor.constant(f"{second.inputs[1]}_shift", shift))
        epilogue = replace_result(epilogue, call("add", ACC, Arg(len(inputs) - 1)))
    return replace(second, inputs=inputs, epilogue=epilogue, layers=(*first.layers, *second.layers))


def _bias(editor: Editor, node: Node, channels: int) -> Array | None:
    """What `node` adds to each channel; None if it does anything else to its result."""
    if node.epilogue == ACC:
        return np.zeros(channels)
    if node.epilogue != _SHIFTED or node.inputs[2] not in editor.constants:
        return None
    array = editor.constants[node.inputs[2]]
    by_channel = array.ndim == 4 and array.shape[1] == math.prod(array.shape) == channels
    return array.reshape(-1).astype(np.float64) if by_channel else None
