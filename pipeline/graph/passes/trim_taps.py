"""Cuts off the taps of convolutions that never meet the map. Returns a new graph.

With a dilation larger than the map (atrous pyramids on small images), the outer taps of every window read only padding.
Without them the arithmetic falls to that of a smaller kernel, and the map needs no wide halo.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tvmopt.pipeline.graph.ir import Editor, Graph, Node, rewrite


def trim_taps(graph: Graph) -> Graph:
    """Makes the kernel of each convolution no larger than its windows' share of the map."""

    def rule(editor: Editor, node: Node) -> bool:
        if node.op not in ("conv2d", "depthwise_conv2d"):
            return False
        weight = editor.constants[node.inputs[1]]
        pads, dilations = node.attrs["pads"], node.attrs["dilations"]
        assert isinstance(pads, tuple)
        assert isinstance(dilations, tuple)
        before, after, steps, kept = list(pads[:2]), list(pads[2:]), list(dilations), []
        for axis in range(2):
            first, last = _useful(editor, node, axis)
            kept.append(range(first, last))
            before[axis] -= first * steps[axis]
            after[axis] = max(0, after[axis] - (weight.shape[2 + axis] - last) * steps[axis])
            steps[axis] = steps[axis] if last - first > 1 else 1
        if all(len(taps) == size for taps, size in zip(kept, weight.shape[2:], strict=True)):
            return False
        rows, columns = kept
        trimmed = weight[:, :, rows.start : rows.stop, columns.start : columns.stop]
        name = editor.constant(f"{node.inputs[1]}_trimmed", np.ascontiguousarray(trimmed))
        attrs = {**node.attrs, "pads": (*before, *after), "dilations": tuple(steps)}
        editor.add(replace(node, inputs=(node.inputs[0], name, *node.inputs[2:]), attrs=attrs))
        return True

    return rewrite(graph, rule)


def _useful(editor: Editor, node: Node, axis: int) -> tuple[int, int]:
    """The first tap along an axis that some window has on the map, and the one after the last; at least one tap.

    One more is kept where the windows of the rest would all begin inside the map.
    """
    size, outputs = editor.values[node.inputs[0]].shape[2 + axis], editor.values[node.output].shape[2 + axis]
    taps = editor.constants[node.inputs[1]].shape[2 + axis]
    pads, strides, dilations = node.attrs["pads"], node.attrs["strides"], node.attrs["dilations"]
    assert isinstance(pads, tuple)
    assert isinstance(strides, tuple)
    assert isinstance(dilations, tuple)
    starts = np.arange(outputs)[:, None] * strides[axis] + np.arange(taps) * dilations[axis] - pads[axis]
    meets = np.flatnonzero(((starts >= 0) & (starts < size)).any(axis=0))
    first, last = (int(meets[0]), int(meets[-1]) + 1) if len(meets) else (0, 1)
    return min(first, pads[axis] // dilations[axis]), last
