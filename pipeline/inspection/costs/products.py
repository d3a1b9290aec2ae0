"""Operations of matrix products and of operators built from them."""

from __future__ import annotations

import math

from tvmopt.pipeline.inspection.costs.types import Operation, elements

_SOFTMAX = 5
"""Operations of softmax for each element: compare, subtract, exponential, add, divide."""


def matrix_product(operation: Operation) -> int:
    """``MatMul``, batched or not, and its integer forms: the depth is the first operand's last dimension."""
    return 2 * elements(operation.output) * operation.input(0).shape[-1]


def gemm(operation: Operation) -> int:
    """``Gemm``: a matrix product where either operand may be transposed."""
    depth = operation.input(0).shape[0 if operation.attributes.get("transA", 0) else 1]
    return 2 * elements(operation.output) * depth


def einsum(operation: Operation) -> int:
    """``Einsum``, computed at once: each combination of indices takes a multiplication for each operand but one.

    It also takes an addition if an index is summed over.
    """
    terms = str(operation.attributes["equation"]).replace(" ", "").partition("->")[0]
    sizes: dict[str, int] = {}
    for term, operand in zip(terms.split(","), operation.inputs, strict=True):
        assert operand is not None
        for name, size in zip(_indices(term, len(operand.shape)), operand.shape, strict=True):
            sizes[name] = max(size, sizes.get(name, 1))
    combinations = math.prod(sizes.values())
    summed = combinations > elements(operation.output)
    return combinations * (len(operation.inputs) - 1 + summed)


def _indices(term: str, rank: int) -> list[str]:
    """The indices of a term such as ``b...ij``; dimensions under the dots are numbered from the last."""
    before, dots, after = term.partition("...")
    hidden = rank - len(before) - len(after) if dots else 0
    return [*before, *(f".{hidden - i}" for i in range(hidden)), *after]


def attention(operation: Operation) -> int:
    """``Attention``: queries by keys, softmax over the keys, weights by values.

    Operands are (batch, heads, length, size) or (batch, length, heads·size): for either, a query's elements times the
    number of keys are the multiply-adds of the first product.
    """
    query, key = operation.input(0), operation.input(1)
    past = operation.inputs[4] if len(operation.inputs) > 4 else None
    keys = key.shape[-2] + (past.shape[-2] if past is not None else 0)
    heads = query.shape[1] if len(query.shape) == 4 else int(operation.attributes["q_num_heads"])
    scores = query.shape[0] * heads * query.shape[-2] * keys
    return 2 * keys * (elements(query) + elements(operation.output)) + _SOFTMAX * scores
