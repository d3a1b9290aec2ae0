"""Folds zero padding, of integers that with the zero point, into a convolution that reads it. Returns a new graph."""

from __future__ import annotations

from dataclasses import replace

from tvmopt.pipeline.graph.ir import Editor, Graph, Node, rewrite
from tvmopt.pipeline.graph.parameters import padding_of
from tvmopt.schedules.operators import CONV2D, DEPTHWISE_CONV2D, INTEGERS
from tvmopt.schedules.workload import Attr


def fold_pad(graph: Graph) -> Graph:
    """Folds Pad (constant, zero, of rows and columns only) into each convolution that reads it.

    Average pooling is left alone: it would have to distinguish the two kinds of padding.
    """
    producers = graph.producers()

    def rule(editor: Editor, node: Node) -> bool:
        if not node.operator.convolution or node.operator not in (CONV2D, DEPTHWISE_CONV2D, *INTEGERS):
            return False
        if node.operator in INTEGERS and "zero" not in node.attrs:
            return False  # it is computed
        pad = producers.get(node.inputs[0])
        if pad is None or pad.kind != "Pad":
            return False
        amounts = _zero_pads(graph, pad, node.attrs.get("zero", 0))
        if amounts is None:
            return False
        own = node.attrs["pads"]
        assert isinstance(own, tuple)
        pads = tuple(a + b for a, b in zip(own, amounts, strict=True))
        layers = (*pad.layers, *node.layers)
        editor.add(
            replace(node, inputs=(pad.inputs[0], *node.inputs[1:]), attrs={**node.attrs, "pads": pads}, layers=layers)
        )
        return True

    return rewrite(graph, rule)


def _zero_pads(graph: Graph, pad: Node, zero: Attr) -> tuple[int, int, int, int] | None:
    """Top, left, bottom, right of a Pad that adds around images only what their padding holds, `zero`; else None."""
    source = graph.tensor(pad.inputs[0])
    if len(source.shape) != 4 or source.fill != zero:
        return None
    padding = padding_of(graph.constants, pad, 4)
    if padding is None or padding.mode != "constant" or padding.fill != zero:
        return None
    (*outer, top, left), (*further, bottom, right) = padding.before, padding.after
    if any((*outer, *further)) or min(top, left, bottom, right) < 0:
        return None
    return top, left, bottom, right
