"""Refuses graphs with operators that reach files, processes or Python, before TensorFlow loads them."""

from __future__ import annotations

import re
from typing import Any

from tensorflow_to_onnx import UNSUPPORTED
from tensorflow_values import RefusedError, graph_operators

_FORBIDDEN = re.compile(
    r"(Stateless)?PyFunc.*|EagerPyFunc|.*(ReadFile|WriteFile|MatchingFiles|DeleteFile).*|.*Reader(V2)?|.*Dataset(V\d)?"
    r"|(Write|Create|Close|Flush).*Summary.*|PrintV2|.*(Rpc|RPC|Socket|Shell|Remote|Send|Recv).*|.*Iterator.*|XlaLaunch"
    r"|LookupTableExport.*|Save|SaveSlices|SaveV2|MergeV2Checkpoints|.*DecodeProto.*|InitializeTableFromTextFile.*"
)
"""Operators that read or write files, run Python, or talk to others."""

_SAVING = ("SaveV2", "MergeV2Checkpoints")
"""Of these, those that every SavedModel has in the function that would save it, which is never called."""


def check_operators(graph_def: Any, saver: Any = None) -> None:
    """Checks every operator of a graph and of its functions.

    Raises:
        RefusedError: one of them is not TensorFlow's, or is forbidden.
    """
    from tensorflow.python.framework import op_def_registry

    functions = {function.signature.name for function in graph_def.library.function}
    savers = _called(graph_def, saver.save_tensor_name.split(":")[0]) if saver is not None else set()
    custom, forbidden = set(), set()
    for function, node in graph_operators(graph_def):
        if node.op in functions:
            continue
        if op_def_registry.get(node.op) is None:
            custom.add(node.op)
        elif _FORBIDDEN.fullmatch(node.op) and not (node.op in _SAVING and (function in savers or not function)):
            forbidden.add(node.op)
    if custom:
        text = ", ".join(sorted(custom)[:9])
        raise RefusedError(UNSUPPORTED, f"the model has operators that are not TensorFlow's own: {text}")
    if forbidden:
        text = ", ".join(sorted(forbidden)[:9])
        raise RefusedError(UNSUPPORTED, f"the model has operators that reach beyond it ({text}): it is not run")


def _called(graph_def: Any, name: str) -> set[str]:
    """The functions that the graph's node `name` calls, directly or not."""
    calls = {function.signature.name: function.node_def for function in graph_def.library.function}
    pending = [node for node in graph_def.node if node.name == name]
    found: set[str] = set()
    while pending:
        node = pending.pop()
        for attribute in node.attr.values():
            for called in (attribute.func.name, *(function.name for function in attribute.list.func)):
                if called in calls and called not in found:
                    found.add(called)
                    pending.extend(calls[called])
    return found
