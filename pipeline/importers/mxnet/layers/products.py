"""Products of matrices."""

from __future__ import annotations

from collections.abc import Mapping

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.mxnet.layers.work import Translate, Work


def _last_two_swapped(work: Work, value: str, swap: bool) -> str:
    rank = len(work.builder.shape(value))
    if not swap:
        return value
    return work.builder.add("Transpose", value, perm=[*range(rank - 2), rank - 1, rank - 2])


def _dot(work: Work) -> list[str]:
    """The last axis of the first operand with the first axis of the second."""
    operands = [work.value(0), work.value(1)]
    turned = [work.node.value(f"transpose_{which}", False) for which in "ab"]
    shapes = [list(work.builder.shape(value)) for value in operands]
    if any(turned) and max(len(shape) for shape in shapes) > 2:
        raise work.refuse(f"transposed operands of shapes {shapes}", "transpose them in an operator before it")
    pairs = zip(operands, turned, shapes, strict=True)
    a, b = (_last_two_swapped(work, value, turn and len(shape) == 2) for value, turn, shape in pairs)
    left, right = work.builder.shape(a), work.builder.shape(b)
    if not left or not right or left[-1] != right[0]:
        raise InputFileError(f"{work}: operands of shapes {shapes} do not fit each other")
    integers, result = work.builder.integers, [*left[:-1], *right[1:]]
    a = work.builder.add("Reshape", a, integers([-1, left[-1]]))
    b = work.builder.add("Reshape", b, integers([right[0], -1]))
    return [work.builder.add("Reshape", work.builder.add("MatMul", a, b), integers(result or [1]))]


def _batch_dot(work: Work) -> list[str]:
    operands = [work.value(0), work.value(1)]
    turned = [work.node.value(f"transpose_{which}", False) for which in "ab"]
    shapes = [list(work.builder.shape(value)) for value in operands]
    if min(len(shape) for shape in shapes) < 3 or shapes[0][:-2] != shapes[1][:-2]:
        raise InputFileError(f"{work}: operands of shapes {shapes} do not fit each other")
    a, b = (_last_two_swapped(work, value, turn) for value, turn in zip(operands, turned, strict=True))
    product = work.builder.add("MatMul", a, b)
    factor = float(work.node.value("alpha", 1.0))
    return [product if factor == 1 else work.builder.add("Mul", product, work.builder.number(factor))]


def _gemm2(work: Work) -> list[str]:
    if work.node.value("axis", -2) != -2:
        raise work.refuse(f"axis {work.node.value('axis')}", "use the last two axes")
    if len(work.shape) > 2:
        return _batch_dot(work)
    product = _dot(work)[0]
    return [work.builder.add("Mul", product, work.builder.number(float(work.node.value("alpha", 1.0))))]


OPERATORS: Mapping[str, Translate] = {
    "_linalg_gemm2": _gemm2,
    "batch_dot": _batch_dot,
    "dot": _dot,
    "linalg_gemm2": _gemm2,
}
