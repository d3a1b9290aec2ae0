"""Operators that compute each element from the elements at its place, and softmax."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from tvmopt.pipeline.importers.mxnet.work import Translate, Work

_ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softrelu": "Softplus", "softsign": "Softsign"}


def _unary(operator: str) -> Translate:
    return lambda work: [work.builder.add(operator, work.x)]


def _binary(operator: str) -> Translate:
    return lambda work: [work.builder.add(operator, work.value(0), work.value(1))]


def _scalar(operator: str, swapped: bool = False) -> Translate:
    """The operator with a number as second operand, or as first."""

    def translate(work: Work) -> list[str]:
        number = work.builder.number(float(work.node.value("scalar", 0.0)))
        operands = (number, work.x) if swapped else (work.x, number)
        return [work.builder.add(operator, *operands)]

    return translate


def _compared(operator: str, of: Callable[[str], Translate]) -> Translate:
    """Comparisons give 0 and 1 as floats."""
    return lambda work: [work.builder.add("Cast", of(operator)(work)[0], to=1)]


def _activation(work: Work) -> list[str]:
    kind = work.node.value("act_type", "relu")
    if kind not in _ACTIVATIONS:
        raise work.refuse(f"act_type {kind}", f"use one of {', '.join(_ACTIVATIONS)}")
    return [work.builder.add(_ACTIVATIONS[kind], work.x)]


def _leaky_relu(work: Work) -> list[str]:
    """After training, the random slope of rrelu is the middle of its range."""
    kind, value = work.node.value("act_type", "leaky"), work.node.value
    slope = float(value("slope", 0.25))
    if kind == "prelu":
        channels = work.shape[1] if len(work.shape) > 1 else 1
        operand = work.operands[1] if len(work.operands) > 1 else None
        shared = not isinstance(operand, str) and operand is not None and math.prod(operand.shape) == 1
        slopes = work.parameter(1, (1,) if shared else (channels,))
        slopes = slopes if shared else slopes.reshape(-1, *[1] * (len(work.shape) - 2))
        return [work.builder.add("PRelu", work.x, work.builder.constant(slopes, "slopes"))]
    if kind == "rrelu":
        slope = (float(value("lower_bound", 0.125)) + float(value("upper_bound", 0.334))) / 2
    if kind in ("leaky", "rrelu"):
        return [work.builder.add("LeakyRelu", work.x, alpha=slope)]
    if kind == "elu":
        return [work.builder.add("Elu", work.x, alpha=slope)]
    if kind == "selu":
        return [work.builder.add("Selu", work.x)]
    if kind == "gelu":
        inner = work.builder.add("Erf", work.builder.add("Mul", work.x, work.builder.number(math.sqrt(0.5))))
        half = work.builder.add("Mul", work.x, work.builder.number(0.5))
        return [work.builder.add("Mul", half, work.builder.add("Add", inner, work.builder.number(1.0)))]
    raise work.refuse(f"act_type {kind}", "use leaky, prelu, elu, selu, gelu or rrelu")


def _clip(work: Work) -> list[str]:
    limits = [work.builder.number(float(work.node.value(name, 0.0))) for name in ("a_min", "a_max")]
    return [work.builder.add("Clip", work.x, *limits)]


def _softmax_output(work: Work) -> list[str]:
    """Along the channels with `multi_output`, else along the last axis, as MXNet 1.9.1 does."""
    axis = 1 if work.node.value("multi_output", False) else len(work.shape) - 1
    return [work.builder.add("Softmax", work.x, axis=axis)]


def _softmax_activation(work: Work) -> list[str]:
    if work.node.value("mode", "instance") == "channel":
        return [work.builder.add("Softmax", work.x, axis=1)]
    return _softmax_output(work)


def _softmax(operator: str) -> Translate:
    def translate(work: Work) -> list[str]:
        heat = float(work.node.value("temperature", 1.0))
        x = work.x if heat == 1 else work.builder.add("Div", work.x, work.builder.number(heat))
        return [work.builder.add(operator, x, axis=work.axis(work.node.value("axis", -1)))]

    return translate


def _sum(work: Work) -> list[str]:
    result = work.value(0)
    for index in range(1, len(work.operands)):
        result = work.builder.add("Add", result, work.value(index))
    return [result]


def _smooth(work: Work) -> list[str]:
    alpha, beta = float(work.node.value("alpha", 0.2)), float(work.node.value("beta", 0.5))
    return [work.builder.add("HardSigmoid", work.x, alpha=alpha, beta=beta)]


_NAMES = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "maximum": "Max", "minimum": "Min", "power": "Pow"}
_OLD_NAMES = {"_Plus": "Add", "_Minus": "Sub", "_Mul": "Mul", "_Div": "Div", "_Maximum": "Max", "_Minimum": "Min"}
_OLD_NAMES |= {"_plus": "Add", "_minus": "Sub", "_grad_add": "Add", "_Power": "Pow", "_power": "Pow"}
_OLD_NAMES |= {"broadcast_plus": "Add", "broadcast_minus": "Sub", "_maximum": "Max", "_minimum": "Min"}
_SCALARS = {
    "plus": "Add",
    "minus": "Sub",
    "mul": "Mul",
    "div": "Div",
    "maximum": "Max",
    "minimum": "Min",
    "power": "Pow",
}
_COMPARED = {"greater": "Greater", "lesser": "Less", "equal": "Equal"}
_UNARY = {"abs": "Abs", "ceil": "Ceil", "erf": "Erf", "exp": "Exp", "floor": "Floor", "log": "Log", "negative": "Neg"}
_UNARY |= {"relu": "Relu", "sigmoid": "Sigmoid", "sqrt": "Sqrt", "tanh": "Tanh", "sin": "Sin", "cos": "Cos"}
_UNARY |= {"reciprocal": "Reciprocal", "softsign": "Softsign", "sign": "Sign"}
_SAME = (
    "Dropout",
    "_copy",
    "identity",
    "BlockGrad",
    "stop_gradient",
    "MakeLoss",
    "make_loss",
    "LinearRegressionOutput",
)

OPERATORS: Mapping[str, Translate] = {
    "Activation": _activation,
    "ElementWiseSum": _sum,
    "LeakyReLU": _leaky_relu,
    "LogisticRegressionOutput": _unary("Sigmoid"),
    "MAERegressionOutput": lambda work: [work.x],
    "Softmax": _softmax_output,
    "SoftmaxActivation": _softmax_activation,
    "SoftmaxOutput": _softmax_output,
    "add_n": _sum,
    "clip": _clip,
    "hard_sigmoid": _smooth,
    "log_softmax": _softmax("LogSoftmax"),
    "softmax": _softmax("Softmax"),
    "square": lambda work: [work.builder.add("Mul", work.x, work.x)],
    **{name: lambda work: [work.x] for name in _SAME},
    **{name: _unary(operator) for name, operator in _UNARY.items()},
    **{f"elemwise_{name}": _binary(operator) for name, operator in _NAMES.items()},
    **{f"broadcast_{name}": _binary(operator) for name, operator in _NAMES.items()},
    **{name: _binary(operator) for name, operator in _OLD_NAMES.items()},
    **{f"broadcast_{name}": _compared(operator, _binary) for name, operator in _COMPARED.items()},
    **{f"_{name}_scalar": _scalar(operator) for name, operator in _SCALARS.items()},
    **{f"_{name.capitalize()}Scalar": _scalar(operator) for name, operator in _SCALARS.items()},
    **{f"_{name}_scalar": _compared(operator, _scalar) for name, operator in _COMPARED.items()},
    **{name: _scalar("Sub", swapped=True) for name in ("_rminus_scalar", "_RMinusScalar")},
    **{name: _scalar("Div", swapped=True) for name in ("_rdiv_scalar", "_RDivScalar")},
    **{name: _scalar("Pow", swapped=True) for name in ("_rpower_scalar", "_RPowerScalar")},
}
