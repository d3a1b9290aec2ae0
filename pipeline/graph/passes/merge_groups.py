"""Groups of convolutions that no template takes as they are: merged into wider ones, or apart. Returns a new graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.graph.ir import Editor, Graph, Node, rewrite
from tvmopt.pipeline.graph.recognize.insert_onnx import add_onnx, add_slice
from tvmopt.schedules.operators import CONV2D, CONV3D, TRANSPOSED_CONV2D
from tvmopt.schedules.target import Target

BY_CHANNEL = ("conv3d", "transposed_conv2d")
"""The operators with templates for groups of one channel; over images that is an operator of its own."""


def merge_groups(graph: Graph, target: Target) -> Graph:
    """Merges the groups of transposed convolutions and those over volumes until each fills whole blocks of the target.

    Merged groups have zero weights between them: the result is the same, with more arithmetic but all in whole vectors.
    ``conv2d`` has templates for groups of any size.
    """

    def rule(editor: Editor, node: Node) -> bool:
        groups, merged = _groups(editor, node, target)
        if merged == 1 or node.op == CONV2D.name:
            return False
        weight = editor.constants[node.inputs[1]]
        name = editor.constant(f"{node.inputs[1]}_merged", _merged(weight, groups, merged))
        attrs = {**node.attrs, "groups": groups // merged}
        editor.add(replace(node, inputs=(node.inputs[0], name, *node.inputs[2:]), attrs=attrs))
        return True

    return rewrite(graph, rule)


def split_groups(graph: Graph, target: Target) -> Graph:
    """Where NaN must touch only what it should, makes a convolution of each group that does not fill whole blocks.

    The zero weights between groups would spread it. This comes before other operators are fused.
    """

    def rule(editor: Editor, node: Node) -> bool:
        groups, merged = _groups(editor, node, target)
        if merged == 1:
            return False
        channels = editor.values[node.output].shape[1]
        if any(editor.constants[name].shape[1] != channels for name in node.inputs[2:]):
            return False
        inputs, outputs = editor.constants[node.inputs[1]].shape[1], channels // groups
        parts = []
        for group in range(groups):
            rows = slice(group * outputs, (group + 1) * outputs)
            data = add_slice(editor, node, node.inputs[0], {1: (group * inputs, (group + 1) * inputs)})
            name = editor.constant(f"{node.inputs[1]}_group", editor.constants[node.inputs[1]][rows])
            rest = [editor.constant(f"{one}_group", editor.constants[one][:, rows]) for one in node.inputs[2:]]
            tensor = editor.values[node.output]
            shape = (tensor.shape[0], outputs, *tensor.shape[2:])
            parts.append(editor.value(f"{node.output}_group", replace(tensor, shape=shape)))
            attrs = {**node.attrs, "groups": 1}
            editor.add(replace(node, inputs=(data, name, *rest), outputs=(parts[-1],), attrs=attrs))
        add_onnx(editor, node, "Concat", tuple(parts), node.output, axis=1)
        return True

    return rewrite(graph, rule) if target.strict_nan else graph


def _groups(editor: Editor, node: Node, target: Target) -> tuple[int, int]:
    """How many groups the convolution `node` has, and how many of them fill whole blocks together."""
    if node.op not in (CONV2D.name, CONV3D.name, TRANSPOSED_CONV2D.name) or node.attrs["groups"] == 1:
        return 1, 1
    groups = node.attrs["groups"]
    assert isinstance(groups, int)
    weight = editor.constants[node.inputs[1]]
    inputs, outputs = weight.shape[1], weight.shape[0] // groups
    if inputs == outputs == 1 and node.op in BY_CHANNEL:
        return 1, 1
    block = target.channel_block(weight.dtype.name)
    counts = [m for m in range(1, groups + 1) if groups % m == 0]
    whole = (m for m in counts if m * inputs % block == 0 and m * outputs % block == 0)
    return groups, next(whole, groups)


def _merged(weight: npt.NDArray[np.float32], groups: int, merged: int) -> npt.NDArray[np.float32]:
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    wide = np.zeros((weight.shape[0], inputs * merged, *weight.shape[2:]), weight.dtype)
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        place = group % merged
        wide[rows, place * inputs : (place + 1) * inputs] = weight[rows]
    return wide
