"""Refuses graphs with operators that reach files, processes or Python, before TensorFlow loads them."""

from __future__ import annotations

import re
from typing import Any

from tensorflow_to_onnx import UNSUPPORTED
from tensorflow_values import RefusedError, graph_operators

_FORBIDDEN = re.compile(
    r"(Stateless)?PyFunc.*|EagerPyFunc|.*(ReadFile|WriteFile|MatchingFiles|DeleteFile).*|.*Reader(V2)?|.*Dataset.*"
    r"|Debug.*|DistributedSave|ImmutableConst|RecordInput|LoadAndRemapMatrix|GenerateVocabRemapping"
    r"|(Write|Create|Close|Flush).*Summary.*|PrintV2|.*(Rpc|RPC|Socket|Shell|Remote|Send|Recv).*|.*Iterator.*|XlaLaunch"
    r"|LookupTableExport.*|Save|SaveSlices|SaveV2|MergeV2Checkpoints|.*DecodeProto.*|InitializeTableFromTextFile.*"
)
"""Operators that read or write files, run Python, or talk to others."""

_SAVING = ("SaveV2", "MergeV2Checkpoints")
"""Of these, those that every SavedModel has, to save it again; nothing ensures that only saving runs them."""


def check_operators(graph_def: Any, saves: bool = False) -> None:
    """Checks every operator of a graph and of its functions.

    Args:
        graph_def: the graph.
        saves: whether operators that save a model are accepted, since `disarm` takes them out.

    Raises:
        RefusedError: one of them is not TensorFlow's, or is forbidden.
    """
    from tensorflow.python.framework import op_def_registry

    functions = {function.signature.name for function in graph_def.library.function}
    custom, forbidden = set(), set()
    for node in graph_operators(graph_def):
        if node.op in functions:
            continue
        if op_def_registry.get(node.op) is None:
            custom.add(node.op)
        elif _FORBIDDEN.fullmatch(node.op) and not (saves and node.op in _SAVING):
            forbidden.add(node.op)
    if custom:
        text = ", ".join(sorted(custom)[:9])
        raise RefusedError(UNSUPPORTED, f"the model has operators that are not TensorFlow's own: {text}")
    if forbidden:
        text = ", ".join(sorted(forbidden)[:9])
        raise RefusedError(UNSUPPORTED, f"the model has operators that reach beyond it ({text}): it is not run")


def disarm(graph_def: Any) -> None:
    """Makes the operators that save a model do nothing; they have no outputs, so nothing else changes."""
    for node in graph_operators(graph_def):
        if node.op in _SAVING:
            node.op = "NoOp"
            node.attr.clear()
            orders = [name for name in node.input if name.startswith("^")]
            del node.input[:]
            node.input.extend(orders)
