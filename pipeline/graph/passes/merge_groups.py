"""Merges the groups of convolutions into fewer, wider ones where they do not fill vectors. Returns a new graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.graph.ir import Editor, Graph, Node, rewrite
from tvmopt.schedules.target import Target


def merge_groups(graph: Graph, target: Target) -> Graph:
    """Merges a convolution's groups, transposed or not, until each group's channels fill whole blocks of the target.

    Merged groups have zero weights between them: the result is the same, with more arithmetic but all in whole vectors.
    """

    def rule(editor: Editor, node: Node) -> bool:
        if node.op not in ("conv2d", "conv3d", "transposed_conv2d") or node.attrs["groups"] == 1:
            return False
        groups = node.attrs["groups"]
        assert isinstance(groups, int)
        weight = editor.constants[node.inputs[1]]
        inputs, outputs = weight.shape[1], weight.shape[0] // groups
        block = target.channel_block(weight.dtype.name)
        counts = [m for m in range(1, groups + 1) if groups % m == 0]
        whole = (m for m in counts if m * inputs % block == 0 and m * outputs % block == 0)
        merged = next(whole, groups)
        if merged == 1:
            return False
        name = editor.constant(f"{node.inputs[1]}_merged", _merged(weight, groups, merged))
        attrs = {**node.attrs, "groups": groups // merged}
        editor.add(replace(node, inputs=(node.inputs[0], name, *node.inputs[2:]), attrs=attrs))
        return True

    return rewrite(graph, rule)


def _merged(weight: npt.NDArray[np.float32], groups: int, merged: int) -> npt.NDArray[np.float32]:
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    wide = np.zeros((weight.shape[0], inputs * merged, *weight.shape[2:]), weight.dtype)
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        place = group % merged
        wide[rows, place * inputs : (place + 1) * inputs] = weight[rows]
    return wide
