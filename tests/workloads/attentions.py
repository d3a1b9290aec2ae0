"""Workloads of attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from tvmopt.schedules.compute.attention import Place
from tvmopt.schedules.expression import ACC, Arg, Const, Expr, call
from tvmopt.schedules.workload import Tensor, Workload

HALF: Expr = call("mul", ACC, Const(0.5))
MASKED: Expr = call("add", HALF, Arg(3))


def heads_first(heads: int, rows: int, columns: int) -> Place:
    """Heads × rows × columns, in this order."""
    return Place(0, (rows * columns,), columns, 1)


def rows_first(heads: int, rows: int, columns: int, start: int = 0, width: int = 0) -> Place:
    """Rows × heads × columns, as projections write them; part of rows of `width` from `start` on."""
    return Place(start, (columns,), width or heads * columns, 1)


def attention(
    heads: int = 3,
    queries: int = 37,
    keys: int = 37,
    depth: int = 8,
    width: int = 8,
    *,
    inner: Expr = HALF,
    operands: tuple[Place, ...] = (),
    sizes: tuple[int, ...] = (),
    guard: int = 0,
    packed: bool = False,
    rows: bool = True,
) -> Workload:
    """An attention of one image.

    Args:
        heads, queries, keys, depth, width: its sizes.
        inner: expression of a score.
        operands: places of its operands, keys as rows.
        sizes: their elements.
        guard: whether NaN becomes zero.
        packed: whether Q, K and V are parts of one tensor, which is then read three times.
        rows: whether heads are within rows.
    """
    place: Any = rows_first if rows else heads_first
    if packed:
        assert queries == keys
        line = heads * (2 * depth + width)
        places = [rows_first(heads, queries, depth, heads * depth * i, line) for i in range(2)]
        places.append(rows_first(heads, queries, width, 2 * heads * depth, line))
        tensors = [Tensor((queries * line,))] * 3
    else:
        places = [place(heads, queries, depth), place(heads, keys, depth), place(heads, keys, width)]
        tensors = [Tensor((heads * n,)) for n in (queries * depth, keys * depth, keys * width)]
    attrs: dict[str, Any] = {
        **dict(zip(("query", "key", "value"), (place.numbers() for place in places), strict=True)),
        "result": place(heads, queries, width).numbers(),
        "operands": tuple(number for operand in operands for number in operand.numbers()),
        "batch": (heads,),
        "queries": queries,
        "keys": keys,
        "depth": depth,
        "width": width,
        "guard": guard,
    }
    inputs = (*tensors, *(Tensor((size,)) for size in sizes))
    output = Tensor((heads * queries * width,))
    return Workload("attention", inputs, output, tuple(sorted(attrs.items())), ACC, inner)


def with_mask(queries: int, keys: int, heads: int = 3, shared: bool = True, **options: Any) -> Workload:
    """An attention to whose scores a mask is added, transposed; one for all heads or one for each."""
    place = Place(0, (0 if shared else queries * keys,), queries, 1)
    size = queries * keys * (1 if shared else heads)
    return attention(heads, queries, keys, inner=MASKED, operands=(place,), sizes=(size,), **options)


def random_mask(workload: Workload, seed: int = 0) -> list[np.ndarray]:
    """Random inputs; a third of the mask is -inf, the first query of the first head has no key at all."""
    random = np.random.default_rng(seed)
    arrays = [random.standard_normal(tensor.shape, np.float32) for tensor in workload.inputs]
    mask = np.where(random.random(arrays[3].shape) < 1 / 3, -np.inf, arrays[3]).astype(np.float32)
    queries, keys = workload.attr("queries"), workload.attr("keys")
    mask.reshape(-1, keys, queries)[0, :, 0] = -np.inf
    arrays[3] = mask
    return arrays
