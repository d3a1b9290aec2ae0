"""What element-wise expressions should compute, in numpy: the reference for kernels, independent of TVM."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.compute.functions import CASTS, LAST_BUT_ONE, type_of
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.expression import Acc, Arg, Call, Const, Expr, Named

Array = npt.NDArray[Any]


def evaluate(expr: Expr, accumulated: Array | None, arguments: Sequence[Array]) -> Array:
    """The value of an element-wise expression on arrays, in the types of kernels, with numpy's broadcasting.

    Args:
        expr: an expression of a workload.
        accumulated: what the operator itself computes; None where it computes nothing.
        arguments: the workload's inputs.

    Raises:
        ValueError: when `expr` has a named value, which has a meaning only inside a kernel.
    """
    match expr:
        case Acc():
            assert accumulated is not None
            return accumulated
        case Arg(index):
            return arguments[index]
        case Const(value):
            return np.asarray(value, FLOAT32)
        case Call(function, operands):
            values = [evaluate(operand, accumulated, arguments) for operand in operands]
            return np.asarray(_FUNCTIONS[function](*values), type_of(function, values[-1].dtype.name))
        case Named(name):
            raise ValueError(f"a workload has no value named {name!r}")


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def _hard_sigmoid(x: Array, alpha: Array | np.float32, beta: Array | np.float32) -> Array:
    return np.asarray(np.clip(alpha * x + beta, 0, 1))


def _quotient(x: Array, y: Array) -> Array:
    """Rounded towards zero; numpy rounds down."""
    whole: Array = np.floor_divide(x, y)
    return np.where((np.fmod(x, y) != 0) & ((x < 0) != (y < 0)), whole + 1, whole)


_FUNCTIONS: dict[str, Any] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "sqrt": np.sqrt,
    "square_root_power": lambda x: np.power(x, np.float32(0.5)),
    "reciprocal": np.reciprocal,
    "floor": np.floor,
    "ceil": np.ceil,
    "exp": np.exp,
    "log": np.log,
    "relu": lambda x: np.maximum(x, 0),
    "thresholded_relu": lambda x, alpha: np.where(x > alpha, x, np.float32(0)),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
    "silu": lambda x: x * _sigmoid(x),
    "atanh": np.arctanh,
    "rank": lambda x: np.where(np.isnan(x), np.inf, np.clip(x, -LAST_BUT_ONE, LAST_BUT_ONE)),
    "softplus": lambda x: np.logaddexp(x, 0),
    "leaky_relu": lambda x, slope: np.where(x < 0, x * slope, x),
    "elu": lambda x, alpha: np.where(x < 0, alpha * np.expm1(x), x),
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": lambda x: x * _hard_sigmoid(x, np.float32(1 / 6), np.float32(0.5)),
    "select": lambda condition, x, y: np.where(condition != 0, x, y),
    "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "power": np.power,
    "integer_power": np.power,
    "if_greater": lambda x, bound, then, otherwise: np.where(x > bound, then, otherwise),
    "round": np.rint,
    **{name: getattr(np, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "less", "less_equal", "equal")},
    **{name: getattr(np, name.replace("a", "arc", 1)) for name in ("asin", "acos", "atan", "asinh", "acosh")},
    **{name: getattr(np, f"logical_{name}") for name in ("and", "or", "xor", "not")},
    "is_nan": np.isnan,
    "is_infinite": np.isinf,
    "where": np.where,
    "quantize": lambda x, scale, zero: np.clip(np.fmax(np.rint(x / scale) + zero, 0), 0, 255),
    "dequantize": lambda x, scale, zero: (x.astype(FLOAT32) - zero) * scale,
    "table": lambda x, table: table.reshape(-1)[x],
    "quotient": _quotient,
    "remainder": np.fmod,
    "modulo": np.mod,
    **dict.fromkeys(CASTS, lambda x: x),
}
