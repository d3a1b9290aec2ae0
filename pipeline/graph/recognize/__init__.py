"""Turns ONNX operators into the operator families that templates know. Returns a new graph.

Each file has a table from ONNX operator types to rules. A rule adds what replaces the node, or returns False and leaves
the node to TVM's importer. The tables: `convolution`, `transposed`, `dense`, `recurrent`, `pooling`, `elementwise`,
`activations`, `norms`, `shape`, `selection`, and `typed`, which is applied later.
"""

from __future__ import annotations

from collections.abc import Mapping

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
    )

    maps = (convolution, transposed, dense, recurrent, pooling)
    tables = (*maps, elementwise, activations, norms, shape, selection)
    return {kind: rule for table in tables for kind, rule in table.RULES.items()}


def recognize(graph: Graph) -> Graph:
    """Applies the rule of every ONNX node that has one."""
    return _apply(graph, rules())


def recognize_typed(graph: Graph) -> Graph:
    """Applies the rules for truth values, choices and integers, after passes that look for their ONNX operators."""
    from tvmopt.pipeline.graph.recognize import typed

    return _apply(graph, typed.RULES)


def _apply(graph: Graph, table: Mapping[str, Rule]) -> Graph:
    def rule(editor: Editor, node: Node) -> bool:
        return node.op == ONNX and node.kind in table and table[node.kind](editor, node)

    return rewrite(graph, rule)
