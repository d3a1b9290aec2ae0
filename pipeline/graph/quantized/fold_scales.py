"""Folds the scale of a kernel's quantised result into what it is computed from. Returns a new graph.

``quantize(relu(sum·s + b), t, z)`` becomes ``quantize(sum·(s/t) + b/t, 1, z)``: no division for each element, and no
activation where saturating does the same. Results differ by one rounding before they are rounded to integers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tvmopt.pipeline.graph.ir import Editor, Graph, Node, as_float32, rewrite
from tvmopt.schedules.expression import Arg, Call, Const, Expr, arguments_of, call, rename_arguments
from tvmopt.schedules.operators import INTEGERS

LARGEST = 255.0
"""The largest quantised value."""

ScaledArgument = Callable[[int, float], Expr | None]
"""An operand times a number, by its index; None if that is not known when compiling."""


def fold_scales(graph: Graph) -> Graph:
    """Folds the scales of all kernels of integers."""

    def rule(editor: Editor, node: Node) -> bool:
        if node.operator not in INTEGERS:
            return False
        inputs = list(node.inputs)
        own = node.operator.own(len(inputs))

        def argument(index: int, factor: float) -> Expr | None:
            array = editor.constants.get(inputs[index])
            if index < own or array is None:
                return None
            inputs.append(editor.constant(f"{node.inputs[index]}_scaled", as_float32(array * np.float32(factor))))
            return Arg(len(inputs) - 1)

        epilogue = _folded(node.epilogue, argument)
        if epilogue == node.epilogue:
            return False
        editor.add(_without_unread(replace(node, inputs=tuple(inputs), epilogue=epilogue), own))
        return True

    return rewrite(graph, rule)


def _folded(expr: Expr, argument: ScaledArgument) -> Expr:
    """`expr` with the scale of each quantisation folded into its operand, where that is possible."""
    if not isinstance(expr, Call):
        return expr
    operands = tuple(_folded(operand, argument) for operand in expr.operands)
    match Call(expr.function, operands):
        case Call("quantize", (value, Const(scale), Const(zero))) if scale != 1.0:
            scaled = _scaled(value, 1.0 / scale, argument)
            if scaled is not None:
                return call("quantize", _unbounded(scaled, zero), Const(1.0), Const(zero))
    return Call(expr.function, operands)


def _scaled(expr: Expr, factor: float, argument: ScaledArgument) -> Expr | None:
    """`expr` times a positive number, without one operation more; None if that is not possible."""
    match expr:
        case Const(value):
            return Const(float(np.float32(value * factor)))
        case Arg(index):
            return argument(index, factor)
        case Call("mul", (first, second)):
            scaled = _scaled(second, factor, argument)
            return None if scaled is None else call("mul", first, scaled)
        case Call("dequantize", (value, Const(scale), zero)):
            return call("dequantize", value, Const(float(np.float32(scale * factor))), zero)
        case Call("relu" | "add" | "sub" | "max" | "min" | "clip", operands):
            parts = [_scaled(operand, factor, argument) for operand in operands]
            known = [part for part in parts if part is not None]
            return Call(expr.function, tuple(known)) if len(known) == len(parts) else None
    return None


def _unbounded(expr: Expr, zero: float) -> Expr:
    """`expr` without an activation that only does what saturating does."""
    match expr:
        case Call("relu", (value,)) if zero == 0.0:
            return value
        case Call("clip", (value, Const(low), Const(high))) if low <= -zero and high >= LARGEST - zero:
            return value
    return expr


def _without_unread(node: Node, own: int) -> Node:
    """`node` without operands of its epilogue that this does not read."""
    read = sorted(arguments_of(node.epilogue))
    places = {index: own + place for place, index in enumerate(read)}
    inputs = (*node.inputs[:own], *(node.inputs[index] for index in read))
    return replace(node, inputs=inputs, epilogue=rename_arguments(node.epilogue, lambda index: Arg(places[index])))
