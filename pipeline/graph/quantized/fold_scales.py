"""Folds the scale of a kernel's quantised result into what it is computed from. Returns a new graph.

``quantize(relu(sum·s + b), t, z)`` becomes ``quantize(sum·(s/t) + b/t, 1, z)``: no division for each element, and no
activation where saturating does the same. Results differ by one rounding before they are rounded to integers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tvmopt.pipeline.graph.ir import Array, Editor, Graph, Node, as_float32, rewrite
from tvmopt.pipeline.graph.quantized.scales import reads_bytes
from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.expression import Arg, Call, Const, Expr, arguments_of, call, rename_arguments
from tvmopt.schedules.operators import POINTWISE

LARGEST = 255.0
"""The largest quantised value."""

Factor = float | Array
"""A positive number, or one for each channel as ``(1, C, 1, 1)``."""


class _Operands:
    """The operands of a node's epilogue, to which scaled ones are added.

    Args:
        editor: has the constants, and gets those that are made.
        node: of integers.
    """

    def __init__(self, editor: Editor, node: Node) -> None:
        self.editor = editor
        self.names = list(node.inputs)
        self._own = node.operator.own(len(node.inputs))

    def constant(self, index: int) -> Array | None:
        """The constant that an argument is; None where it is computed."""
        return None if index < self._own else self.editor.constants.get(self.names[index])

    def number(self, stem: str, value: Factor) -> Expr:
        """A number, or an argument that has the number of each channel."""
        if np.ndim(value) == 0:
            return Const(float(np.float32(value)))
        self.names.append(self.editor.constant(f"{stem}_scaled", as_float32(value)))
        return Arg(len(self.names) - 1)


def fold_scales(graph: Graph) -> Graph:
    """Folds the scales of all kernels of integers."""

    def rule(editor: Editor, node: Node) -> bool:
        maps = node.operator is POINTWISE and any(graph.tensor(name).dtype == QUANTIZED for name in node.inputs)
        if not (maps or reads_bytes(graph, node)):
            return False
        operands = _Operands(editor, node)
        epilogue = _folded(node.epilogue, operands)
        if epilogue == node.epilogue:
            return False
        changed = replace(node, inputs=tuple(operands.names), epilogue=epilogue)
        editor.add(_without_unread(changed, node.operator.own(len(node.inputs))))
        return True

    return rewrite(graph, rule)


def _folded(expr: Expr, operands: _Operands) -> Expr:
    """`expr` with the scale of each quantisation folded into its operand, where that is possible."""
    if not isinstance(expr, Call):
        return expr
    parts = tuple(_folded(operand, operands) for operand in expr.operands)
    match Call(expr.function, parts):
        case Call("quantize", (value, Const() | Arg() as scale, Const(zero))) if scale != Const(1.0):
            number = scale.value if isinstance(scale, Const) else operands.constant(scale.index)
            scaled = None if number is None else _scaled(value, 1.0 / number, operands)
            if scaled is not None:
                return call("quantize", _unbounded(scaled, zero, operands), Const(1.0), Const(zero))
    return Call(expr.function, parts)


def _scaled(expr: Expr, factor: Factor, operands: _Operands) -> Expr | None:
    """`expr` times a factor, without one operation more; None if that is not possible."""
    match expr:
        case Const(value):
            return operands.number("number", value * factor)
        case Arg(index):
            array = operands.constant(index)
            return None if array is None else operands.number(operands.names[index], array * factor)
        case Call("mul", (first, second)):
            scaled = _scaled(second, factor, operands)
            return None if scaled is None else call("mul", first, scaled)
        case Call("dequantize", (value, Const() | Arg() as scale, zero)):
            scaled = _scaled(scale, factor, operands)
            return None if scaled is None else call("dequantize", value, scaled, zero)
        case Call("relu" | "add" | "sub" | "max" | "min" | "clip", parts):
            each = [_scaled(part, factor, operands) for part in parts]
            known = [part for part in each if part is not None]
            return Call(expr.function, tuple(known)) if len(known) == len(each) else None
    return None


def _unbounded(expr: Expr, zero: float, operands: _Operands) -> Expr:
    """`expr` without an activation that only does what saturating does."""

    def values(bound: Expr) -> Array | None:
        match bound:
            case Const(value):
                return np.asarray(value)
            case Arg(index):
                return operands.constant(index)
        return None

    match expr:
        case Call("relu", (value,)) if zero == 0.0:
            return value
        case Call("clip", (value, low, high)):
            least, most = values(low), values(high)
            if least is not None and most is not None and (least <= -zero).all() and (most >= LARGEST - zero).all():
                return value
    return expr


def _without_unread(node: Node, own: int) -> Node:
    """`node` without operands of its epilogue that this does not read."""
    read = sorted(arguments_of(node.epilogue))
    places = {index: own + place for place, index in enumerate(read)}
    inputs = (*node.inputs[:own], *(node.inputs[index] for index in read))
    return replace(node, inputs=inputs, epilogue=rename_arguments(node.epilogue, lambda index: Arg(places[index])))
