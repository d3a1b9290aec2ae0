"""Operators that compute each element from the elements at its place, and softmax."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from tvmopt.pipeline.importers.mxnet.layers.work import Translate, Work

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


def _negated(operator: str, of: Callable[[str], Translate]) -> Translate:
    """A comparison that ONNX has only as the negation of another; NaN is unequal to all."""
    return lambda work: [work.builder.add("Cast", work.builder.add("Not", of(operator)(work)[0]), to=1)]


def _chain(*operators: str) -> Translate:
    """Operators of one operand, one after another."""

    def translate(work: Work) -> list[str]:
        value = work.x
        for operator in operators:
            value = work.builder.add(operator, value)
        return [value]

    return translate


def _log_of(base: float) -> Translate:
    return lambda work: [
        work.builder.add("Mul", work.builder.add("Log", work.x), work.builder.number(1 / math.log(base)))
    ]


def _cube_root(work: Work) -> list[str]:
    root = work.builder.add("Pow", work.builder.add("Abs", work.x), work.builder.number(1 / 3))
    return [work.builder.add("Mul", work.builder.add("Sign", work.x), root)]


def _round(work: Work) -> list[str]:
    """Halves go away from zero."""
    whole = work.builder.add(
        "Floor", work.builder.add("Add", work.builder.add("Abs", work.x), work.builder.number(0.5))
    )
    return [work.builder.add("Mul", work.builder.add("Sign", work.x), whole)]


def _smooth_l1(work: Work) -> list[str]:
    builder, square = work.builder, float(work.node.value("scalar", 1.0)) ** 2
    size = builder.add("Abs", work.x)
    inner = builder.add("Mul", builder.add("Mul", work.x, work.x), builder.number(square / 2))
    near = builder.add("Less", size, builder.number(1 / square if square else math.inf))
    return [builder.add("Where", near, inner, builder.add("Sub", size, builder.number(0.5 / square if square else 0)))]


def _softmin(work: Work) -> list[str]:
    heat = float(work.node.value("temperature", 1.0))
    x = work.builder.add("Mul", work.x, work.builder.number(-1 / heat))
    return [work.builder.add("Softmax", x, axis=work.axis(work.node.value("axis", -1)))]


def _where(work: Work) -> list[str]:
    condition = work.builder.add("Cast", work.x, to=9)
    if len(work.shape) == 1 < len(work.builder.shape(work.value(1))):
        rank = len(work.builder.shape(work.value(1)))
        condition = work.builder.add("Reshape", condition, work.builder.integers([work.shape[0], *[1] * (rank - 1)]))
    return [work.builder.add("Where", condition, work.value(1), work.value(2))]


def _cast(work: Work) -> list[str]:
    """Floats of any width are float32 here, as parameters are."""
    kinds = {"float16": 1, "float32": 1, "float64": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9}
    kind = work.node.value("dtype", "float32")
    if kind not in kinds:
        raise work.refuse(f"dtype {kind}", f"use one of {', '.join(kinds)}")
    return [work.builder.add("Cast", work.x, to=kinds[kind])]


def _by_root_of_width(work: Work) -> list[str]:
    return [work.builder.add("Div", work.x, work.builder.number(math.sqrt(work.shape[-1])))]


def _modulo(work: Work) -> list[str]:
    """The remainder has the sign of the divisor."""
    x, y = work.value(0), work.value(1)
    whole = work.builder.add("Floor", work.builder.add("Div", x, y))
    return [work.builder.add("Sub", x, work.builder.add("Mul", whole, y))]


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
_COMPARED |= {"greater_equal": "GreaterOrEqual", "lesser_equal": "LessOrEqual"}
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
    "amp_cast",
)
"""Those that only training makes something else of."""

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
    "Cast": _cast,
    "_contrib_div_sqrt_dim": _by_root_of_width,
    "broadcast_mod": _modulo,
    "broadcast_not_equal": _negated("Equal", _binary),
    "_not_equal_scalar": _negated("Equal", _scalar),
    "cast": _cast,
    "cbrt": _cube_root,
    "expm1": lambda work: [work.builder.add("Sub", work.builder.add("Exp", work.x), work.builder.number(1.0))],
    "log10": _log_of(10),
    "log1p": lambda work: [work.builder.add("Log", work.builder.add("Add", work.x, work.builder.number(1.0)))],
    "log2": _log_of(2),
    "round": _round,
    "rsqrt": _chain("Sqrt", "Reciprocal"),
    "smooth_l1": _smooth_l1,
    "softmin": _softmin,
    "where": _where,
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
