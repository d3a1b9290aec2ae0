"""Element-wise operators that compute a quantised value from one other, as a table of 256 bytes. Returns a new graph.

However long the chain between them is, there are only 256 values; they are computed here as the operators define them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tvmopt.pipeline.graph.ir import Array, Editor, Graph, Node, rewrite
from tvmopt.schedules.compute.functions import LONG_CHAINS, QUANTIZED
from tvmopt.schedules.compute.reference_expression import evaluate
from tvmopt.schedules.expression import Arg, call, functions_of, size_of, tables_of
from tvmopt.schedules.llvm.parts.lookup import ENTRIES, permutes
from tvmopt.schedules.target import Target

SHORT = 6
"""Chains of up to this many functions, none of them long, stay as they are: they fuse with their operand's kernel."""

EVERY = np.arange(ENTRIES, dtype=QUANTIZED)


@dataclass(frozen=True, slots=True)
class _Function:
    """A value that follows from one quantised value, element by element.

    Attributes:
        source: the name of the quantised value.
        values: what each of its 256 values becomes.
        layers: the layers between them.
        size: how many functions are computed.
        is_long: whether one of them is a long chain itself.
    """

    source: str
    values: Array
    layers: tuple[str, ...]
    size: int
    is_long: bool


def use_tables(graph: Graph) -> Graph:
    """Replaces chains that take long to compute."""
    functions = _functions(graph)

    def rule(editor: Editor, node: Node) -> bool:
        found = functions.get(node.output) if node.op == "pointwise" and len(node.outputs) == 1 else None
        if found is None or graph.tensor(node.output).dtype != QUANTIZED or found.source == node.output:
            return False
        if not found.is_long and found.size <= SHORT:
            return False
        _add(editor, node, found)
        return True

    return rewrite(graph, rule)


def use_tables_alone(graph: Graph, target: Target) -> Graph:
    """Replaces what is left of kernels that read one quantised value and make another, where looking up is fast."""
    if not permutes(target):
        return graph

    def rule(editor: Editor, node: Node) -> bool:
        if node.op != "pointwise" or graph.tensor(node.output).dtype != QUANTIZED or tables_of(node.epilogue):
            return False
        sources = [name for name in dict.fromkeys(node.inputs) if name in graph.values]
        if len(sources) != 1 or graph.tensor(sources[0]).dtype != QUANTIZED:
            return False
        found = _applied(graph, node, {sources[0]: _itself(sources[0])})
        if found is None:
            return False
        _add(editor, node, found)
        return True

    return rewrite(graph, rule)


def _add(editor: Editor, node: Node, found: _Function) -> None:
    table = editor.constant(f"{node.output}_table", found.values)
    layers = tuple(dict.fromkeys((*found.layers, *node.layers)))
    expr = call("table", Arg(0), Arg(1))
    editor.add(replace(node, inputs=(found.source, table), layers=layers, epilogue=expr))


def _functions(graph: Graph) -> dict[str, _Function]:
    """The values that follow from one quantised value, the earliest possible, and quantised values themselves."""
    functions: dict[str, _Function] = {}
    for name in graph.inputs:
        if graph.tensor(name).dtype == QUANTIZED:
            functions[name] = _itself(name)
    for node in graph.nodes:
        found = _applied(graph, node, functions) if node.op == "pointwise" and len(node.outputs) == 1 else None
        for name in node.outputs:
            if found is not None:
                functions[name] = found
            elif graph.tensor(name).dtype == QUANTIZED:
                functions[name] = _itself(name)
    return functions


def _itself(name: str) -> _Function:
    return _Function(name, EVERY, (), 0, False)


def _applied(graph: Graph, node: Node, functions: Mapping[str, _Function]) -> _Function | None:
    """What an element-wise node computes of one quantised value; None if it needs more, or other places of it."""
    arrays: list[Array] = []
    operands: list[_Function] = []
    for name in node.inputs:
        constant = graph.constants.get(name)
        if constant is not None:
            if constant.size != 1:
                return None
            arrays.append(constant.reshape(()))
            continue
        found = functions.get(name)
        if found is None or graph.tensor(name).shape != graph.tensor(node.output).shape:
            return None
        arrays.append(found.values)
        operands.append(found)
    if not operands or len({found.source for found in operands}) != 1:
        return None
    with np.errstate(all="ignore"):
        values = evaluate(node.epilogue, None, arrays)
    if values.shape != EVERY.shape:
        return None
    layers = tuple(dict.fromkeys((*(layer for found in operands for layer in found.layers), *node.layers)))
    size = size_of(node.epilogue) + sum(found.size for found in operands)
    is_long = bool(functions_of(node.epilogue) & LONG_CHAINS) or any(found.is_long for found in operands)
    return _Function(operands[0].source, values, layers, size, is_long)
