"""Costs of single operators, counted by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tvmopt.pipeline.inspection.costs.rules import FAMILIES, MOVEMENT, count, family_of
from tvmopt.pipeline.inspection.costs.types import Operation
from tvmopt.pipeline.types import TensorSpec

Shape = tuple[int, ...]


def operation(
    operator: str, inputs: list[Shape | None], output: Shape, dtype: str = "float32", **attributes: Any
) -> Operation:
    operands = tuple(None if shape is None else TensorSpec(f"i{i}", shape, dtype) for i, shape in enumerate(inputs))
    return Operation(operator, attributes, operands, (TensorSpec("y", output, dtype),))


@pytest.mark.parametrize(
    ("case", "flops"),
    [
        # VGG-16's second layer: 1.85 GMACs.
        (operation("Conv", [(1, 64, 224, 224), (64, 64, 3, 3), (64,)], (1, 64, 224, 224)), 3_699_376_128),
        (operation("Conv", [(2, 32, 28, 28), (32, 1, 3, 3)], (2, 32, 14, 14), group=32), 2 * 2 * 32 * 14 * 14 * 9),
        (operation("Conv", [(1, 6, 5, 5), (4, 3, 1, 1)], (1, 4, 5, 5), group=2), 2 * 4 * 25 * 3),
        (operation("Conv", [(1, 3, 40), (8, 3, 5)], (1, 8, 36)), 2 * 8 * 36 * 15),
        (operation("Conv", [(1, 3, 4, 5, 6), (8, 3, 2, 2, 2)], (1, 8, 3, 4, 5)), 2 * 8 * 60 * 24),
        (operation("ConvTranspose", [(1, 8, 5, 5), (8, 3, 4, 4)], (1, 3, 10, 10)), 2 * 8 * 25 * 3 * 16),
        (operation("Gemm", [(7, 4096), (1000, 4096), (1000,)], (7, 1000), transB=1), 2 * 7 * 4096 * 1000),
        (operation("Gemm", [(5, 3), (5, 4)], (3, 4), transA=1), 2 * 5 * 3 * 4),
        (operation("MatMul", [(2, 8, 10, 64), (64, 12)], (2, 8, 10, 12)), 2 * 16 * 10 * 64 * 12),
        (operation("MatMul", [(5,), (5,)], ()), 10),
        (operation("Einsum", [(2, 3, 4), (2, 4, 5)], (2, 3, 5), equation="bij,bjk->bik"), 2 * 2 * 3 * 4 * 5),
        (operation("Einsum", [(7, 2, 3), (3, 4)], (7, 2, 4), equation="...i,ij->...j"), 2 * 14 * 3 * 4),
        (operation("Einsum", [(3,), (4,)], (3, 4), equation="i, j -> ij"), 12),
        (operation("Einsum", [(3, 4)], (), equation="ij->"), 12),
        (operation("Einsum", [(3, 4)], (4, 3), equation="ij->ji"), 0),
        # Eight heads of 64, ten queries, twelve keys: two products and a softmax.
        (
            operation("Attention", [(1, 8, 10, 64), (1, 8, 12, 64), (1, 8, 12, 64)], (1, 8, 10, 64)),
            2 * 2 * 8 * 10 * 12 * 64 + 5 * 8 * 10 * 12,
        ),
        (operation("MaxPool", [(1, 4, 8, 8)], (1, 4, 4, 4), kernel_shape=[3, 3]), 64 * 9),
        (operation("GlobalAveragePool", [(1, 4, 8, 8)], (1, 4, 1, 1)), 256),
        (operation("Relu", [(2, 5)], (2, 5)), 10),
        (operation("Add", [(2, 5), (1,)], (2, 5)), 10),
        (operation("Sigmoid", [(2, 5)], (2, 5)), 40),
        (operation("Clip", [(2, 5), (), ()], (2, 5)), 20),
        (operation("Sum", [(2, 5), (2, 5), (5,)], (2, 5)), 20),
        (operation("Mean", [(2, 5), (2, 5)], (2, 5)), 20),
        (operation("BatchNormalization", [(1, 3, 4, 4), (3,), (3,), (3,), (3,)], (1, 3, 4, 4)), 96),
        (operation("LayerNormalization", [(2, 8), (8,)], (2, 8)), 112),
        (operation("Softmax", [(2, 8)], (2, 8)), 80),
        (operation("ReduceMean", [(2, 8)], (2, 1)), 16),
        (operation("ReduceL2", [(2, 8)], (2, 1)), 32),
        (operation("Resize", [(1, 2, 4, 4), None, (4,)], (1, 2, 8, 8), mode="nearest"), 0),
        (operation("Resize", [(1, 2, 4, 4), None, (4,)], (1, 2, 8, 8), mode="linear"), 2 * 128 * 4),
        (operation("Resize", [(1, 2, 4, 4), None, (4,)], (1, 2, 8, 4), mode="cubic"), 2 * 64 * 4),
        (operation("LRN", [(1, 8, 2, 2)], (1, 8, 2, 2), size=5), 32 * 14),
        # Seven steps of three sequences, inputs of five, sixteen hidden, both directions.
        (
            operation("LSTM", [(7, 3, 5), (2, 64, 5), (2, 64, 16)], (7, 2, 3, 16)),
            2 * 7 * 3 * 2 * 64 * (5 + 16) + 18 * 7 * 3 * 2 * 16,
        ),
        (operation("RNN", [(7, 3, 5), (1, 16, 5), (1, 16, 16)], (7, 1, 3, 16)), 2 * 21 * 16 * 21 + 21 * 16),
        (operation("GRU", [(3, 7, 5), (1, 48, 5), (1, 48, 16)], (3, 7, 1, 16), layout=1), 2 * 21 * 48 * 21 + 14 * 336),
        (operation("Concat", [(2, 5), (2, 5)], (4, 5)), 0),
        (operation("Reshape", [(2, 5), (2,)], (10,)), 0),
    ],
)
def test_operations(case: Operation, flops: int) -> None:
    assert count(case) == (flops, 0)


@pytest.mark.parametrize(
    ("case", "operations"),
    [
        (operation("ConvInteger", [(1, 3, 8, 8), (4, 3, 3, 3)], (1, 4, 6, 6), "uint8"), 2 * 4 * 36 * 27),
        (
            operation("QLinearConv", [(1, 3, 8, 8), (), (), (4, 3, 3, 3), (), (), (), ()], (1, 4, 6, 6), "uint8"),
            2 * 4 * 36 * 27,
        ),
        (operation("MatMulInteger", [(5, 6), (6, 7)], (5, 7), "uint8"), 2 * 5 * 6 * 7),
        (operation("QLinearMatMul", [(5, 6), (), (), (6, 7), (), (), (), ()], (5, 7), "int8"), 2 * 5 * 6 * 7),
        (operation("Add", [(4,), (4,)], (4,), "int64"), 4),
        (operation("And", [(4,), (4,)], (4,), "bool"), 4),
        (operation("ReduceSum", [(4, 4)], (4,), "int32"), 16),
    ],
)
def test_operations_on_integers(case: Operation, operations: int) -> None:
    assert count(case) == (0, operations)


def test_dequantising_computes_in_floats() -> None:
    assert count(operation("DequantizeLinear", [(4, 4), (), ()], (4, 4), "uint8")) == (32, 0)


def test_operators_without_a_counting_rule() -> None:
    with pytest.raises(LookupError, match="no rule counts the operations of Det"):
        count(operation("Det", [(3, 3)], ()))


def test_every_operator_is_in_one_family_and_in_onnx() -> None:
    import onnx

    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if not schema.domain}
    names = [name for family in FAMILIES for name in family.operators if name != "DequantizeLinear"]
    assert len(names) == len(set(names))
    assert set(names) <= known
    assert len(MOVEMENT) == len(set(MOVEMENT))
    family = family_of("DequantizeLinear")
    assert family is not None
    assert family.kind == "float"
