"""Folds zero padding into the convolution that reads it. Returns a new graph."""

from __future__ import annotations

from dataclasses import replace

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Editor, Graph, Node, rewrite


def fold_pad(graph: Graph) -> Graph:
    """Folds Pad (constant, zero, of rows and columns only) into each convolution that reads it.

    Average pooling is left alone: it would have to distinguish the two kinds of padding.
    """
    producers = graph.producers()

    def rule(editor: Editor, node: Node) -> bool:
        if node.op not in ("conv2d", "depthwise_conv2d"):
            return False
        pad = producers.get(node.inputs[0])
        if pad is None or pad.kind != "Pad":
            return False
        amounts = _zero_pads(graph, pad)
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


def _zero_pads(graph: Graph, pad: Node) -> tuple[int, int, int, int] | None:
    """Top, left, bottom, right of a Pad that only adds zeros around images; None for any other."""
    values = attributes(pad)
    if values.get("mode", "constant") != "constant" or len(graph.tensor(pad.inputs[0]).shape) != 4:
        return None
    if len(pad.inputs) > 3 and pad.inputs[3]:
        return None
    fill: float | None = float(values.get("value", 0.0))
    amounts = values.get("pads")
    if len(pad.inputs) > 1:
        if pad.inputs[1] not in graph.constants:
            return None
        amounts = graph.constants[pad.inputs[1]].reshape(-1).tolist()
        fill = graph.scalar(pad.inputs[2]) if len(pad.inputs) > 2 and pad.inputs[2] else 0.0
    if fill != 0.0 or amounts is None or any(int(a) < 0 for a in amounts):
        return None
    n0, c0, top, left, n1, c1, bottom, right = (int(a) for a in amounts)
    return None if n0 or c0 or n1 or c1 else (top, left, bottom, right)
