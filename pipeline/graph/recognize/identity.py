"""Operators that change nothing."""

from __future__ import annotations

from tvmopt.pipeline.graph.ir import Editor, Node


def nothing(editor: Editor, node: Node) -> bool:
    """Operators that change nothing at inference."""
    if node.inputs[0] in editor.constants or len(node.outputs) != 1:
        return False
    if node.output in editor.graph.outputs:
        editor.add(Node("reshape", node.inputs[:1], node.outputs, node.layers))
    else:
        editor.rename(node.output, node.inputs[0])
    return True
