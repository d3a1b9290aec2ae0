"""Element-wise operators, as expressions."""

from __future__ import annotations

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Editor, Node
from tvmopt.pipeline.graph.recognize.types import Rule
from tvmopt.schedules.compute.functions import ARITY
from tvmopt.schedules.expression import Arg, Const, Expr, call

ARG: Expr = Arg(0)

MOST_PRODUCTS = 16
"""The largest exponent that becomes products: each rounds, so that more of them would be off by more than 1e-6."""

SIMPLE = {
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Erf": "erf",
    "Exp": "exp",
    "Log": "log",
    "Sqrt": "sqrt",
    "Neg": "neg",
    "Abs": "abs",
    "Sign": "sign",
    "Reciprocal": "reciprocal",
    "Floor": "floor",
    "Ceil": "ceil",
    "Softplus": "softplus",
    "Atanh": "atanh",
    **{name: name.lower() for name in ("Round", "Sin", "Cos", "Tan", "Sinh", "Cosh")},
    **{name: name.lower() for name in ("Asin", "Acos", "Atan", "Asinh", "Acosh")},
    "HardSwish": "hard_swish",
    "Add": "add",
    "Sub": "sub",
    "Mul": "mul",
    "Div": "div",
    "Max": "max",
    "Min": "min",
    "Sum": "add",
}


_LAST = float(np.finfo(np.float32).max)


def _is_float(editor: Editor, node: Node) -> bool:
    tensors = [editor.graph.tensor(name) for name in (*node.inputs, *node.outputs) if name]
    return len(node.outputs) == 1 and all(tensor.dtype == "float32" for tensor in tensors)


def operands(editor: Editor, node: Node) -> tuple[tuple[str, ...], list[Expr]]:
    """The inputs of an element-wise node and their expressions: scalars become constants of the expression."""
    names: list[str] = []
    exprs: list[Expr] = []
    for name in node.inputs:
        scalar = editor.graph.scalar(name)
        # TVM computes with numbers when compiling, and refuses to divide by zero.
        if scalar is not None and np.isfinite(scalar) and not (node.kind == "Div" and scalar == 0):
            exprs.append(Const(scalar))
        else:
            names.append(name)
            exprs.append(Arg(len(names) - 1))
    return tuple(names), exprs


def simple(editor: Editor, node: Node) -> bool:
    """Operators that are one function of their inputs; Max and Min of more than two are nested."""
    if not _is_float(editor, node):
        return False
    names, exprs = operands(editor, node)
    if not names:
        return False
    function = SIMPLE[node.kind]
    expr: Expr = call(function, *exprs) if len(exprs) == ARITY[function] else exprs[0]
    for other in exprs[1:] if len(exprs) > ARITY[function] else ():
        expr = call(function, expr, other)
    editor.add(Node("pointwise", names, node.outputs, node.layers, {}, expr))
    return True


def mean(editor: Editor, node: Node) -> bool:
    """Mean of any number of operands."""
    if not _is_float(editor, node):
        return False
    names, exprs = operands(editor, node)
    if not names:
        return False
    total = exprs[0]
    for other in exprs[1:]:
        total = call("add", total, other)
    expr = call("div", total, Const(float(len(exprs))))
    editor.add(Node("pointwise", names, node.outputs, node.layers, {}, expr))
    return True


def _unary(function: str, **defaults: float) -> Rule:
    """A rule for a function whose other operands are attributes."""

    def rule(editor: Editor, node: Node) -> bool:
        if not _is_float(editor, node):
            return False
        values = attributes(node)
        constants = [Const(float(values.get(name, default))) for name, default in defaults.items()]
        editor.add(Node("pointwise", node.inputs, node.outputs, node.layers, {}, call(function, ARG, *constants)))
        return True

    return rule


def clip(editor: Editor, node: Node) -> bool:
    """Clip (bounds are inputs; attributes before opset 11). For an absent bound ONNX has the last finite number."""
    if not _is_float(editor, node):
        return False
    values = attributes(node)
    names, bounds = [node.inputs[0]], list[Expr]()
    for place, (name, default) in enumerate((("min", -_LAST), ("max", _LAST)), start=1):
        given = node.inputs[place] if len(node.inputs) > place else ""
        bound = editor.graph.scalar(given) if given else float(values.get(name, default))
        if bound is not None and not np.isnan(bound):
            bounds.append(Const(bound))
        else:
            names.append(given)
            bounds.append(Arg(len(names) - 1))
    expr: Expr = call("clip", ARG, *bounds)
    if bounds[0] == Const(0.0) and bounds[1] == Const(np.inf):
        expr = call("relu", ARG)
    editor.add(Node("pointwise", tuple(names), node.outputs, node.layers, {}, expr))
    return True


def prelu(editor: Editor, node: Node) -> bool:
    """PRelu with a slope that broadcasts."""
    if not _is_float(editor, node):
        return False
    editor.add(Node("pointwise", node.inputs, node.outputs, node.layers, {}, call("leaky_relu", ARG, Arg(1))))
    return True


def power(editor: Editor, node: Node) -> bool:
    """Pow; by small integers as products, by other numbers with the function of the C library."""
    base = editor.graph.tensor(node.inputs[0])
    exponent = editor.graph.scalar(node.inputs[1])
    if exponent is None and _is_float(editor, node):
        editor.add(Node("pointwise", node.inputs, node.outputs, node.layers, {}, call("power", ARG, Arg(1))))
        return True
    if exponent is None or base.dtype != "float32" or node.inputs[0] in editor.constants:
        return False
    table: dict[float, Expr] = {
        2.0: call("mul", ARG, ARG),
        0.5: call("square_root_power", ARG),
        -1.0: call("reciprocal", ARG),
    }
    expr = table.get(exponent) or _power_of(exponent)
    editor.add(Node("pointwise", node.inputs[:1], node.outputs, node.layers, {}, expr))
    return True


def _power_of(exponent: float) -> Expr:
    if not exponent.is_integer() or abs(exponent) > MOST_PRODUCTS:
        return call("power", ARG, Const(exponent))
    product = call("integer_power", ARG, Const(abs(exponent)))
    return call("reciprocal", product) if exponent < 0 else product


def gelu(editor: Editor, node: Node) -> bool:
    """Gelu, exact or with the tanh approximation."""
    if not _is_float(editor, node):
        return False
    if attributes(node).get("approximate", "none") == "tanh":
        cubic = call("add", ARG, call("mul", Const(0.044715), call("mul", ARG, call("mul", ARG, ARG))))
        # Half of 1 + tanh(u) is sigmoid(2u), which loses no digits where tanh comes near -1.
        expr = call("mul", ARG, call("sigmoid", call("mul", Const(2 * 0.7978845608028654), cubic)))
    else:
        inner = call("erf", call("mul", ARG, Const(0.7071067811865476)))
        expr = call("mul", call("mul", Const(0.5), ARG), call("add", Const(1.0), inner))
    editor.add(Node("pointwise", node.inputs, node.outputs, node.layers, {}, expr))
    return True


RULES: dict[str, Rule] = {
    **dict.fromkeys(SIMPLE, simple),
    "LeakyRelu": _unary("leaky_relu", alpha=0.01),
    "Elu": _unary("elu", alpha=1.0),
    "ThresholdedRelu": _unary("thresholded_relu", alpha=1.0),
    "HardSigmoid": _unary("hard_sigmoid", alpha=0.2, beta=0.5),
    "Clip": clip,
    "PRelu": prelu,
    "Pow": power,
    "Gelu": gelu,
    "Mean": mean,
}
