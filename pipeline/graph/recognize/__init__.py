"""Turns ONNX operators into the operator families that templates know. Returns a new graph.

Each file has a table from ONNX operator types to rules. A rule adds what replaces the node, or returns False and leaves
the node to TVM's importer. The tables: `convolution`, `transposed`, `dense`, `recurrent`, `pooling`, `elementwise`,
`activations`, `norms`, `shape`, `selection`, `written_out`.
"""

from __future__ import annotations

from tvmopt.pipeline.graph.ir import ONNX, Editor, Graph, Node, rewrite
from tvmopt.pipeline.graph.recognize.types import Rule


def rules() -> dict[str, Rule]:
    """All rules by ONNX operator type."""
    from tvmopt.pipeline.graph.recognize import (
        activations,
        convolution,
        dense,
        elementwise,
        norms,
        pooling,
        recurrent,
        selection,
        shape,
        transposed,
        written_out,
    )

    maps = (convolution, transposed, dense, recurrent, pooling)
    tables = (*maps, elementwise, activations, norms, shape, selection, written_out)
    return {kind: rule for table in tables for kind, rule in table.RULES.items()}


def recognize(graph: Graph) -> Graph:
    """Applies the rule of every ONNX node that has one."""
    table = rules()

    def rule(editor: Editor, node: Node) -> bool:
        return node.op == ONNX and node.kind in table and table[node.kind](editor, node)

    return rewrite(graph, rule)
