"""Says of each kernel of integers which sums of its products fit 16 bits, where instructions depend on it.

Returns a new graph.
"""

from __future__ import annotations

from dataclasses import replace

from tvmopt.pipeline.graph.ir import Array, Editor, Graph, Node, rewrite
from tvmopt.schedules.llvm.convolution.integers.corrections import facts_of
from tvmopt.schedules.llvm.parts.products import PAIRS_FIT, fit
from tvmopt.schedules.llvm.parts.quads import adds_quads
from tvmopt.schedules.operators import INTEGER_CONV2D, INTEGER_DENSE
from tvmopt.schedules.target import Target


def say_what_fits(graph: Graph, target: Target) -> Graph:
    """Gives kernels of integers with constant weights the attributes that these decide.

    Args:
        graph: recognised.
        target: whose instructions they are for; no graph changes for one that adds four products at once.
    """
    if adds_quads(target):
        return graph

    def rule(editor: Editor, node: Node) -> bool:
        weights = editor.constants.get(node.inputs[1]) if node.operator in (INTEGER_CONV2D, INTEGER_DENSE) else None
        facts = {} if weights is None else _facts(node, target, weights)
        if not facts:
            return False
        editor.add(replace(node, attrs={**node.attrs, **facts}))
        return True

    return rewrite(graph, rule)


def _facts(node: Node, target: Target, weights: Array) -> dict[str, int]:
    if node.operator is INTEGER_CONV2D:
        return facts_of(target, weights)
    return {PAIRS_FIT: 1} if fit(weights.T) else {}
