from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.llvm.dense.dense import Dense
from tvmopt.schedules.llvm.parts.emit import SPREAD
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Tensor, Workload

SIZES = [(1, 1, 1), (1, 37, 10), (1, 129, 67), (5, 64, 33), (17, 20, 48), (3, 1, 130), (23, 7, 1), (2, 11, 1001)]
BIAS_RELU = call("relu", call("add", ACC, Arg(2)))


def dense(make: Any, left: tuple[int, ...], columns: int, *extra: Tensor, packed: int = 1, **options: Any) -> Workload:
    batch, rows, depth = left
    right = (depth, columns) if packed else (batch, depth, columns)
    output = Tensor((batch, rows, columns))
    return make("dense", (Tensor(left), Tensor(right), *extra), output, packed=packed, **options)


@pytest.mark.sweep
@pytest.mark.parametrize("size", SIZES)
def test_constant_weights(kernels: Any, inputs_of: Any, make: Any, size: tuple[int, int, int]) -> None:
    rows, depth, columns = size
    workload = dense(make, (1, rows, depth), columns, Tensor((1, 1, columns)), epilogue=BIAS_RELU)
    arrays = inputs_of(workload)
    expected = np.maximum(arrays[0].astype(np.float64) @ arrays[1] + arrays[2], 0).astype(np.float32)
    kernels.check(workload, 0, arrays, expected)


@pytest.mark.sweep
@pytest.mark.parametrize("size", SIZES)
def test_batches_of_matrices(kernels: Any, inputs_of: Any, make: Any, size: tuple[int, int, int]) -> None:
    rows, depth, columns = size
    workload = dense(make, (3, rows, depth), columns, packed=0)
    arrays = inputs_of(workload)
    expected = np.einsum("bmk,bkn->bmn", *(array.astype(np.float64) for array in arrays)).astype(np.float32)
    kernels.check(workload, 0, arrays, expected)


@pytest.mark.parametrize("packed", [0, 1])
def test_every_corner_of_the_space(kernels: Any, make: Any, packed: int) -> None:
    kernels.unoptimized().check(dense(make, (1 if packed else 2, 13, 19), 53, packed=packed), 12)


@pytest.mark.parametrize("rows_outer", [0, 1, 4, 16])
@pytest.mark.parametrize("prefetch", [0, 1, 512])
def test_bands_of_rows(kernels: Any, make: Any, rows_outer: int, prefetch: int) -> None:
    """Whole bands and a shorter last one, each through all panels, the last of which is narrower."""
    workload = dense(make, (1, 77, 19), 85)
    config = {**Dense().default(workload, kernels.target), "rows": 1, "vectors": 2, "rows_outer": rows_outer}
    assert Dense().space(workload, kernels.target).contains({**config, "prefetch": prefetch})
    kernels.unoptimized().check(workload, [{**config, "prefetch": prefetch}])


@pytest.mark.parametrize("rows_outer", [0, 1, 4])
@pytest.mark.parametrize("column_blocks", [2, 4])
def test_blocks_of_columns(kernels: Any, make: Any, rows_outer: int, column_blocks: int) -> None:
    """Seven panels make four blocks or two, of which the last is shorter; of two matrices."""
    for workload in (dense(make, (1, 29, 19), 213), dense(make, (2, 29, 19), 213, packed=0)):
        config = {**Dense().default(workload, kernels.target), "rows": 1, "vectors": 2, "rows_outer": rows_outer}
        assert Dense().space(workload, kernels.target).contains({**config, "column_blocks": column_blocks})
        kernels.unoptimized().check(workload, [{**config, "column_blocks": column_blocks}])


def test_the_default_order_depends_on_what_the_cache_holds(make: Any) -> None:
    def order(rows: int, depth: int, columns: int, l2_bytes: int = 1 << 20) -> tuple[int, int, int]:
        target = replace(parse_target("x86-64-v4", 1), l1_bytes=48 << 10, l2_bytes=l2_bytes)
        config = Dense().default(dense(make, (1, rows, depth), columns), target)
        return config["rows_outer"], config["column_blocks"], config["prefetch"]

    assert order(1, 2048, 1000) == (0, 1, 0)
    assert order(32, 768, 2304) == (0, 1, SPREAD)
    assert order(1500, 256, 256) == (1, 1, 512)
    assert order(1500, 384, 1536) == (1, 4, 512)
    assert order(1500, 384, 1536, 2 << 20) == (1, 2, 512)
    assert order(1500, 384, 1536, 512 << 10) == (4, 1, 512)
    assert order(1500, 1536, 384, 2 << 20) == (16, 1, SPREAD)
    assert order(197, 1536, 384, 2 << 20) == (0, 1, SPREAD)
    assert order(197, 768, 192, 2 << 20) == (0, 1, SPREAD)
    assert order(784, 192, 768, 2 << 20) == (1, 1, 512)


@pytest.mark.sweep
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 21), (1, 5, 21), (1,)])
def test_epilogue_broadcasts(kernels: Any, make: Any, shape: tuple[int, ...]) -> None:
    kernels.check(dense(make, (1, 5, 8), 21, Tensor(shape), epilogue=call("mul", call("sigmoid", ACC), Arg(2))))


def test_epilogue_with_one_row_takes_the_whole_row(kernels: Any, make: Any) -> None:
    residual, bias = Tensor((1, 1, 21)), Tensor((1, 1, 21))
    kernels.check(dense(make, (1, 1, 8), 21, bias, residual, epilogue=call("add", call("mul", ACC, Arg(2)), Arg(3))))


@pytest.mark.parametrize("text", ["x86-64-v4", "x86-64-v3", "aarch64", "armv7"])
def test_there_is_a_default_for_every_size(make: Any, text: str) -> None:
    target, template = parse_target(text, 4), Dense()
    for rows, depth, columns in (*SIZES, (197, 768, 3072), (1, 25088, 4096), (128, 128, 128)):
        for packed in (0, 1):
            workload = dense(make, (1, rows, depth), columns, packed=packed)
            config = template.default(workload, target)
            assert template.space(workload, target).contains(config)
            assert all(np.isfinite(template.features(workload, target, config)))


def test_other_dtypes_are_refused(make: Any, target: Target) -> None:
    whole = Tensor((1, 4, 4), "int32")
    assert not Dense().accepts(make("dense", (whole, whole), whole, packed=0), target)


@pytest.mark.parametrize("rows", [1, 13])
@pytest.mark.parametrize(("columns", "vectors"), [(85, 2), (93, 6)])
@pytest.mark.parametrize("function", ["erf", "silu"])
def test_long_epilogues(
    kernels: Any, inputs_of: Any, make: Any, rows: int, columns: int, vectors: int, function: str
) -> None:
    """Pieces of rows that differ by one, more vectors than go side by side, partial ones, and values that spread."""
    expr = call(function, call("add", call("add", ACC, Arg(2)), Arg(3)))
    workload = dense(make, (1, rows, 19), columns, Tensor((1, 1, columns)), Tensor((1, rows, columns)), epilogue=expr)
    arrays = inputs_of(workload)
    arrays[3][0, rows // 2, :3] = np.nan, np.inf, -np.inf
    sums = (arrays[0].astype(np.float64) @ arrays[1] + arrays[2] + arrays[3]).reshape(-1)
    with np.errstate(invalid="ignore", over="ignore"):
        exact = [math.erf(x) if function == "erf" else x / (1 + np.exp(-x)) for x in sums]
    expected = np.array(exact, np.float32).reshape(1, rows, columns)
    if function == "silu":
        expected[0, rows // 2, 2] = 0.0  # the limit
    config = {**Dense().default(workload, kernels.target), "rows": min(4, rows), "vectors": vectors}
    kernels.check(workload, [config], arrays, expected)
