"""Activations that are short formulas of other functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Editor, Node
from tvmopt.pipeline.graph.recognize.types import Rule
from tvmopt.schedules.expression import Arg, Const, Expr, call

X: Expr = Arg(0)
ZERO = Const(0.0)


def _celu(alpha: float) -> Expr:
    scaled = call("div", X, Const(alpha))
    return call("if_greater", X, ZERO, X, call("mul", Const(alpha), call("elu", scaled, Const(1.0))))


def _selu(alpha: float, gamma: float) -> Expr:
    return call("mul", Const(gamma), call("elu", X, Const(alpha)))


def _shrink(bias: float, lambd: float) -> Expr:
    """Towards zero by `bias` beyond `lambd` on either side, zero between."""
    above, below = call("sub", X, Const(bias)), call("add", X, Const(bias))
    inside = call("if_greater", Const(-lambd), X, below, ZERO)
    return call("if_greater", X, Const(lambd), above, inside)


def _formula(make: Callable[..., Expr], **defaults: float) -> Rule:
    """A rule for a formula of one operand and of attributes."""

    def rule(editor: Editor, node: Node) -> bool:
        dtypes = {editor.graph.tensor(name).dtype for name in (*node.inputs, *node.outputs)}
        if dtypes != {"float32"} or node.inputs[0] in editor.constants:
            return False
        values: Mapping[str, Any] = attributes(node)
        chosen = {name: float(values.get(name, default)) for name, default in defaults.items()}
        editor.add(Node("pointwise", node.inputs, node.outputs, node.layers, {}, make(**chosen)))
        return True

    return rule


RULES: dict[str, Rule] = {
    "Celu": _formula(_celu, alpha=1.0),
    "Mish": _formula(lambda: call("mul", X, call("tanh", call("softplus", X)))),
    "Selu": _formula(_selu, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    "Shrink": _formula(_shrink, bias=0.0, lambd=0.5),
    "Softsign": _formula(lambda: call("div", X, call("add", Const(1.0), call("abs", X)))),
}
