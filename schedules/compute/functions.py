"""The element-wise functions: their names, arities, and what is known of their values."""

from __future__ import annotations

from tvmopt.schedules.expression import Call, Const, Expr

ARITY: dict[str, int] = {
    "add": 2,
    "sub": 2,
    "mul": 2,
    "div": 2,
    "max": 2,
    "min": 2,
    "neg": 1,
    "abs": 1,
    "sign": 1,
    "sqrt": 1,
    "square_root_power": 1,
    "reciprocal": 1,
    "floor": 1,
    "ceil": 1,
    "exp": 1,
    "log": 1,
    "relu": 1,
    "thresholded_relu": 2,
    "sigmoid": 1,
    "tanh": 1,
    "erf": 1,
    "silu": 1,
    "softplus": 1,
    "atanh": 1,
    "rank": 1,
    "leaky_relu": 2,
    "elu": 2,
    "hard_sigmoid": 3,
    "hard_swish": 1,
    "clip": 3,
    "power": 2,
    "integer_power": 2,
    "if_greater": 4,
    "select": 3,
    **dict.fromkeys(("round", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh"), 1),
    **dict.fromkeys(("less", "less_equal", "equal", "and", "or", "xor"), 2),
    **dict.fromkeys(("not", "is_nan", "is_infinite"), 1),
    **dict.fromkeys(("to_bool", "to_float32", "to_int32", "to_int64"), 1),
    "where": 3,
    **dict.fromkeys(("quantize", "dequantize"), 3),
    "table": 2,
    **dict.fromkeys(("quotient", "remainder", "modulo"), 2),
}
"""Functions that an expression may name, with their number of operands."""

TRUTHS = frozenset({"less", "less_equal", "equal", "and", "or", "xor", "not", "is_nan", "is_infinite"})
"""Functions whose values are truth values; ``where`` has one as its first operand."""

ONE_BY_ONE = frozenset({"quotient", "remainder", "modulo"})
"""Functions of integers that are computed for one element at a time."""

QUANTIZED = "uint8"
"""The element type of quantised maps; those of int8 are moved by 128 when they are imported."""

CASTS: dict[str, str] = {f"to_{dtype}": dtype for dtype in ("bool", "float32", "int32", "int64")}
"""Functions that change the element type, and to which; all others have values of the type of their last operand."""

LAST_BUT_ONE = float.fromhex("0x1.fffffcp127")
"""The largest float32 but one."""

INFINITE_AT_ZERO = frozenset({"acosh", "div", "log", "power", "reciprocal"})
"""Functions whose value is not finite when all operands are zero."""


LONG_CHAINS = frozenset({"exp", "sigmoid", "silu", "tanh", "erf", "softplus", "atanh", "elu"})
"""Functions computed by long chains of dependent operations."""


def type_of(function: str, dtype: str) -> str:
    """The element type of a function's value if that of its last operand is `dtype`."""
    if function in TRUTHS:
        return "bool"
    return {**CASTS, "quantize": QUANTIZED, "table": QUANTIZED, "dequantize": "float32"}.get(function, dtype)


def finite_at_zero(expr: Expr) -> bool:
    """Whether `expr` is finite when all operands are zero, as in the padding of the last channel block."""
    if not isinstance(expr, Call):
        return True
    if expr.function == "div" and isinstance(expr.operands[1], Const) and expr.operands[1].value != 0:
        return finite_at_zero(expr.operands[0])
    if expr.function == "power" and isinstance(expr.operands[1], Const) and expr.operands[1].value >= 0:
        return finite_at_zero(expr.operands[0])
    return expr.function not in INFINITE_AT_ZERO and all(map(finite_at_zero, expr.operands))
