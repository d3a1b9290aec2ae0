"""Operations for each element of a result, or of an operand: element-wise operators, normalisation, reduction."""

from __future__ import annotations

from tvmopt.pipeline.inspection.costs.types import Operation, elements

ONE_EACH = (
    *("Abs", "Acos", "Acosh", "Add", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "CumSum", "Div"),
    *("Equal", "Erf", "Exp", "Floor", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Log"),
    *("Mod", "Mul", "Neg", "Pow", "Reciprocal", "Relu", "Round", "Sign", "Sin", "Sinh", "Sqrt", "Sub", "Tan"),
    *("Tanh", "ThresholdedRelu"),
    *("And", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Not", "Or", "Xor"),
)
"""Element-wise operators that count as one operation."""

EACH_OUTPUT = dict.fromkeys(ONE_EACH, 1) | {
    "Celu": 4,  # divide, exponential, subtract, multiply
    "Clip": 2,  # two comparisons
    "DequantizeLinear": 2,  # subtract, multiply
    "DynamicQuantizeLinear": 6,  # two comparisons for the range, then as QuantizeLinear
    "Elu": 3,  # exponential, subtract, multiply
    "Gelu": 5,  # divide, error function, add, two multiplications
    "HardSigmoid": 4,  # multiply, add, two comparisons
    "HardSwish": 5,  # as HardSigmoid, then multiply
    "LeakyRelu": 2,  # compare, multiply
    "Mish": 5,  # exponential, add, logarithm, tangent, multiply
    "PRelu": 2,  # compare, multiply
    "QuantizeLinear": 4,  # divide, round, add, saturate
    "Selu": 4,  # exponential, subtract, two multiplications
    "Shrink": 2,  # compare, add
    "Sigmoid": 4,  # negate, exponential, add, divide
    "Softplus": 3,  # exponential, add, logarithm
    "Softsign": 3,  # magnitude, add, divide
    "Swish": 5,  # as Sigmoid, then multiply
}
"""Operations for each element of the result of an element-wise operator."""

EACH_INPUT = {
    **dict.fromkeys(("ArgMax", "ArgMin", "ReduceLogSum", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd"), 1),
    "ReduceSum": 1,
    "ReduceL1": 2,  # magnitude, add
    "ReduceL2": 2,  # multiply, add
    "ReduceSumSquare": 2,  # multiply, add
    "ReduceLogSumExp": 4,  # compare, subtract, exponential, add
    "BatchNormalization": 2,  # multiply, add: the statistics are folded into the factors
    "GroupNormalization": 7,  # add for the mean; subtract; multiply-add for the variance; divide; multiply, add
    "InstanceNormalization": 7,
    "LayerNormalization": 7,
    "MeanVarianceNormalization": 5,  # as above, without factors
    "RMSNormalization": 4,  # multiply-add, divide, multiply
    "LpNormalization": 3,  # multiply-add, divide
    "Hardmax": 1,  # compare
    "LogSoftmax": 5,  # compare, subtract, exponential, add; subtract the logarithm of the sum
    "Softmax": 5,  # compare, subtract, exponential, add, divide
}
"""Operations for each element of the first operand; operations done once per row (root, logarithm) are left out."""

VARIADIC = ("Max", "Mean", "Min", "Sum")
"""Operators that combine any number of operands element by element."""


def each_output(operation: Operation) -> int:
    """The number in `EACH_OUTPUT` for each element of the result."""
    return EACH_OUTPUT[operation.operator] * elements(operation.output)


def each_input(operation: Operation) -> int:
    """The number in `EACH_INPUT` for each element of the first operand."""
    return EACH_INPUT[operation.operator] * elements(operation.input(0))


def variadic(operation: Operation) -> int:
    """One for each element and each operand after the first; ``Mean`` also divides."""
    count = len(operation.inputs) - 1 + (operation.operator == "Mean")
    return count * elements(operation.output)
