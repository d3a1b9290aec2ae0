"""The table of operator families: which function counts the operations of which ONNX operator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from tvmopt.pipeline.inspection.costs.convolution import convolution, deformable_convolution, transposed_convolution
from tvmopt.pipeline.inspection.costs.elementwise import (
    EACH_INPUT,
    EACH_OUTPUT,
    VARIADIC,
    each_input,
    each_output,
    variadic,
)
from tvmopt.pipeline.inspection.costs.products import attention, einsum, gemm, matrix_product
from tvmopt.pipeline.inspection.costs.recurrent import recurrent
from tvmopt.pipeline.inspection.costs.types import Operation
from tvmopt.pipeline.inspection.costs.windows import (
    global_pooling,
    grid_sampling,
    local_response,
    pooling,
    region_alignment,
    resizing,
)

VIEWS = ("Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
"""Operators whose result is a view of the operand's bytes."""

PICKING = ("Compress", "Gather", "GatherElements", "GatherND", "Slice")
"""Operators that read only as much of their first operand as they return."""

MOVEMENT = (
    *VIEWS,
    *PICKING,
    *("BitCast", "Cast", "CastLike", "CenterCropPad", "Col2Im", "Concat", "Constant", "ConstantOfShape"),
    *("DepthToSpace", "Expand", "EyeLike", "MaxRoiPool", "MaxUnpool", "NonZero", "OneHot", "Pad", "Range"),
    *("ReverseSequence", "Scatter", "ScatterElements", "ScatterND", "Shape", "Size", "SpaceToDepth", "Split"),
    *("TensorScatter", "Tile", "TopK", "Transpose", "Trilu", "Unique", "Where"),
)
"""Operators without arithmetic."""


@dataclass(frozen=True, slots=True)
class Family:
    """Operators that are counted in the same way.

    Attributes:
        operators: their ONNX names.
        count: how many operations a node takes.
        kind: whether these are operations on floating-point numbers, on integers, or as the first operand's dtype says.
    """

    operators: frozenset[str]
    count: Callable[[Operation], int]
    kind: Literal["float", "integer", "dtype"] = "dtype"


def _family(
    operators: Iterable[str], count: Callable[[Operation], int], kind: Literal["float", "integer", "dtype"] = "dtype"
) -> Family:
    return Family(frozenset(operators), count, kind)


FAMILIES: tuple[Family, ...] = (
    _family(("Conv",), convolution),
    _family(("ConvInteger", "QLinearConv"), convolution, "integer"),
    _family(("ConvTranspose",), transposed_convolution),
    _family(("DeformConv",), deformable_convolution),
    _family(("MatMul",), matrix_product),
    _family(("MatMulInteger", "QLinearMatMul"), matrix_product, "integer"),
    _family(("Gemm",), gemm),
    _family(("Einsum",), einsum),
    _family(("Attention",), attention),
    _family(("GRU", "LSTM", "RNN"), recurrent),
    _family(("AveragePool", "LpPool", "MaxPool"), pooling),
    _family(("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"), global_pooling),
    _family(("LRN",), local_response),
    _family(("Resize", "Upsample"), resizing, "float"),
    _family(("GridSample",), grid_sampling),
    _family(("RoiAlign",), region_alignment),
    _family(("DequantizeLinear",), each_output, "float"),
    _family(EACH_OUTPUT, each_output),
    _family(EACH_INPUT, each_input),
    _family(VARIADIC, variadic),
    _family(MOVEMENT, lambda operation: 0),
)
"""All families; the first that has the operator counts it."""


def family_of(operator: str) -> Family | None:
    """The family of an ONNX operator; None when nothing here can count it."""
    return next((family for family in FAMILIES if operator in family.operators), None)


def count(operation: Operation) -> tuple[int, int]:
    """Operations on floating-point numbers and on integers.

    Raises:
        LookupError: when no family has the operator.
    """
    family = family_of(operation.operator)
    if family is None:
        raise LookupError(f"no rule counts the operations of {operation.operator}")
    operations = family.count(operation)
    kind = family.kind
    if kind == "dtype":
        kind = "float" if not operations or "float" in operation.input(0).dtype else "integer"
    return (operations, 0) if kind == "float" else (0, operations)
