"""Truth values, comparisons, choices, casts and sums of integers, as expressions."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Editor, Node
from tvmopt.pipeline.graph.recognize.types import Rule
from tvmopt.schedules.compute.functions import CASTS
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.expression import Arg, Const, Expr, call
from tvmopt.schedules.llvm.memory_bound.pointwise import TYPES

_CAST_FROM: Mapping[str, frozenset[str]] = {
    "bool": TYPES,
    FLOAT32: TYPES,
    "int32": TYPES - {"float64"},
    "int64": TYPES - {"float64"},
}
"""The types from which there are casts to each type: those that every processor casts alike."""


def _operands(editor: Editor, node: Node) -> tuple[tuple[str, ...], list[Expr]] | None:
    """The inputs of a node and their expressions: finite scalars of float32 are constants; None if a type has no code.

    Constants of other types stay operands, because numbers in expressions are float32.
    """
    names: list[str] = []
    exprs: list[Expr] = []
    for name in node.inputs:
        scalar, dtype = editor.graph.scalar(name), editor.graph.tensor(name).dtype
        if dtype not in TYPES:
            return None
        if scalar is not None and dtype == FLOAT32 and np.isfinite(scalar):
            exprs.append(Const(scalar))
        else:
            names.append(name)
            exprs.append(Arg(len(names) - 1))
    if editor.graph.tensor(node.output).dtype not in TYPES or not names:
        return None
    return tuple(names), exprs


def _function(name: str, swap: bool = False) -> Rule:
    """A rule for a function of the operands; `swap` exchanges the two."""

    def rule(editor: Editor, node: Node) -> bool:
        found = _operands(editor, node)
        if found is None or len(node.outputs) != 1:
            return False
        names, exprs = found
        expr = call(name, *(reversed(exprs) if swap else exprs))
        editor.add(Node("pointwise", names, node.outputs, node.layers, {}, expr))
        return True

    return rule


def _of_integers(name: str) -> Rule:
    """A rule for a function of two operands, integers or float64; of more than two it is nested."""

    def rule(editor: Editor, node: Node) -> bool:
        found = _operands(editor, node)
        if found is None or editor.graph.tensor(node.output).dtype in (FLOAT32, "bool"):
            return False
        names, exprs = found
        expr = functools.reduce(lambda x, y: call(name, x, y), exprs)
        editor.add(Node("pointwise", names, node.outputs, node.layers, {}, expr))
        return True

    return rule


def division(editor: Editor, node: Node) -> bool:
    """Div and Mod of integers, whose divisors `guard_indices` checks."""
    if not editor.graph.tensor(node.output).dtype.lstrip("u").startswith("int"):
        return False
    if node.kind == "Div":
        return _function("quotient")(editor, node)
    return _function("remainder" if attributes(node).get("fmod", 0) else "modulo")(editor, node)


def is_infinite(editor: Editor, node: Node) -> bool:
    """IsInf of both signs."""
    values = attributes(node)
    both = values.get("detect_positive", 1) and values.get("detect_negative", 1)
    return bool(both) and _function("is_infinite")(editor, node)


def cast(editor: Editor, node: Node) -> bool:
    """Cast to a type of `CASTS`."""
    source, target = (editor.graph.tensor(name).dtype for name in (node.inputs[0], node.output))
    if source == target or source not in _CAST_FROM.get(target, ()) or node.inputs[0] in editor.constants:
        return False
    assert CASTS[f"to_{target}"] == target
    editor.add(Node("pointwise", node.inputs[:1], node.outputs, node.layers, {}, call(f"to_{target}", Arg(0))))
    return True


RULES: dict[str, Rule] = {
    "Where": _function("where"),
    **{name: _function(name.lower()) for name in ("And", "Or", "Xor", "Not", "Less", "Equal")},
    "LessOrEqual": _function("less_equal"),
    "Greater": _function("less", swap=True),
    "GreaterOrEqual": _function("less_equal", swap=True),
    "IsNaN": _function("is_nan"),
    "IsInf": is_infinite,
    "Cast": cast,
    "Div": division,
    "Mod": division,
    **{name: _of_integers(name.lower()) for name in ("Add", "Sub", "Mul", "Max", "Min")},
}
