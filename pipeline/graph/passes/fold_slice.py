"""Folds a slice of a convolution's map into the convolution. Returns a new graph.

Causal networks pad lines at both ends and cut off what reaches into the future. What is cut off need not be computed.
"""

from __future__ import annotations

from dataclasses import replace

from tvmopt.pipeline.graph.ir import Editor, Graph, Node, rewrite
from tvmopt.pipeline.graph.parameters import slice_of

AXES = (2, 3)


def fold_slice(graph: Graph) -> Graph:
    """Makes a convolution compute only the rows and columns that the Slice, its only reader, keeps.

    Rows and columns are cut off at the end; at the beginning, only where the windows there begin in the padding.
    """
    uses, producers = graph.uses(), graph.producers()

    def rule(editor: Editor, node: Node) -> bool:
        conv = producers.get(node.inputs[0]) if node.kind == "Slice" else None
        if conv is None or conv.op not in ("conv2d", "depthwise_conv2d") or uses[conv.output] != 1:
            return False
        if any(graph.tensor(name).shape[2:] != (1, 1) for name in conv.inputs[2:]):
            return False
        ranges = slice_of(graph.constants, node, graph.tensor(conv.output).shape)
        if ranges is None or not ranges.keys() <= set(AXES):
            return False
        pads = _pads(graph, conv, ranges)
        if pads is None:
            return False
        place = next(i for i, other in enumerate(editor.nodes) if other.outputs == conv.outputs)
        current = editor.nodes.pop(place)
        attrs = {**current.attrs, "pads": pads}
        editor.add(replace(current, outputs=node.outputs, attrs=attrs, layers=(*current.layers, *node.layers)))
        return True

    return rewrite(graph, rule)


def _pads(graph: Graph, conv: Node, ranges: dict[int, tuple[int, int]]) -> tuple[int, ...] | None:
    """The pads of the convolution that computes only `ranges`; None if they would be negative at the beginning."""
    pads, strides = conv.attrs["pads"], conv.attrs["strides"]
    assert isinstance(pads, tuple)
    assert isinstance(strides, tuple)
    before, after = list(pads[:2]), list(pads[2:])
    for place, axis in enumerate(AXES):
        size = graph.tensor(conv.output).shape[axis]
        first, last = ranges.get(axis, (0, size))
        before[place] -= first * strides[place]
        after[place] = max(0, after[place] - (size - last) * strides[place])
    return None if min(before) < 0 else (*before, *after)
