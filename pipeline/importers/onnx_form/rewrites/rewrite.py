"""Applies the rules until none applies any more."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from tvmopt.pipeline.importers.onnx_form.operators import STANDARD_DOMAINS
from tvmopt.pipeline.importers.onnx_form.rewrites import (
    algebra,
    attention,
    casts,
    indexing,
    normalization,
    quantized,
    recurrent,
    reductions,
    resize,
    sequences,
    volumes,
    windows,
)
from tvmopt.pipeline.importers.onnx_form.rewrites.draft import Draft, NotKnownError, Rule
from tvmopt.pipeline.support.weights.light_model import copy_without

TABLES: tuple[Mapping[str, Rule], ...] = (
    casts.RULES,
    algebra.RULES,
    reductions.RULES,
    normalization.RULES,
    quantized.RULES,
    windows.RULES,
    volumes.RULES,
    resize.RULES,
    indexing.RULES,
    attention.RULES,
    recurrent.RULES,
    sequences.RULES,
)
"""A table of rules by operator in each file."""


def rules() -> dict[str, Rule]:
    """All rules by ONNX operator."""
    return {kind: rule for table in TABLES for kind, rule in table.items()}


def rewrite(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """`model` with every node replaced that a rule takes; None when no rule takes any.

    Args:
        model: with the types of its values; is not changed. Subgraphs stay as they are.
    """
    draft = _applied(rules(), model)
    if draft is not None and _reads_sequences(draft, model):
        # Some sequence has to stay, so all do: the nodes that make it are needed.
        table = {kind: rule for kind, rule in rules().items() if kind not in sequences.RULES}
        draft = _applied(table, model)
    return None if draft is None else _rewritten(model, draft)


def apply_rules(table: Mapping[str, Rule], model: onnx.ModelProto) -> onnx.ModelProto | None:
    """`model` with every node replaced that a rule of `table` takes; None when no rule takes any.

    Args:
        table: rules by ONNX operator.
        model: as for `rewrite`.
    """
    draft = _applied(table, model)
    return None if draft is None else _rewritten(model, draft)


def _rewritten(model: onnx.ModelProto, draft: Draft) -> onnx.ModelProto:
    """`model` with the nodes and constants of `draft`."""
    rewritten = copy_without(model, ("node", "initializer", "value_info"))
    rewritten.graph.node.extend(draft.nodes)
    rewritten.graph.initializer.extend(draft.initializers.values())
    return rewritten


def _applied(table: Mapping[str, Rule], model: onnx.ModelProto) -> Draft | None:
    """The nodes of `model` after the rules of `table`; None when none of them applies."""
    draft, changed = Draft(model), False
    for node in model.graph.node:
        draft.begin(node)
        changed |= not _apply(table, draft, node)
    return draft if changed else None


def _reads_sequences(draft: Draft, model: onnx.ModelProto) -> bool:
    """Whether a node or output still needs a sequence of which only the tensors are left."""
    read = {name for node in draft.nodes for name in node.input} | {output.name for output in model.graph.output}
    return not read.isdisjoint(draft.sequences)


def _apply(table: Mapping[str, Rule], draft: Draft, node: onnx.NodeProto) -> bool:
    """Adds `node`, or what its rule makes of it; returns whether it was left as it is."""
    rule = table.get(node.op_type) if node.domain in STANDARD_DOMAINS else None
    if rule is not None:
        nodes = len(draft.nodes)
        try:
            if rule(draft, node):
                return False
        except NotKnownError:
            del draft.nodes[nodes:]
    draft.keep(node)
    return True
