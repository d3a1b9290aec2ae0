"""Matrix products of quantised rows: exact for every value, on odd shapes, at the edges of the sums."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.workloads.integers import integer_product, product_integers
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.schedules.expression import ACC, Arg, Const, call
from tvmopt.schedules.llvm.dense.integers import IntegerDense
from tvmopt.schedules.llvm.parts.quads import multiplies_bytes
from tvmopt.schedules.target import parse_target
from tvmopt.schedules.workload import Tensor

HOST = parse_target("llvm", 2)
needs_bytes = pytest.mark.skipif(not multiplies_bytes(HOST), reason="this machine does not multiply bytes")
BY_COLUMN = call("add", call("mul", call("to_float32", ACC), Arg(2)), Arg(3))

SIZES = [(1, 64, 48), (5, 3, 1), (17, 37, 33), (16, 130, 67), (61, 1, 16), (40, 255, 100)]


@needs_bytes
@pytest.mark.parametrize("zero", [0, 7, 255])
@pytest.mark.parametrize("size", SIZES)
def test_is_exact(host: Any, size: tuple[int, int, int], zero: int) -> None:
    """Against sums of int64; the last row ends where the memory ends."""
    workload = integer_product(*size, zero=zero, epilogue=ACC)
    left, right = product_integers(workload)[:2]
    exact = (left[0].astype(np.int64) - zero) @ right.astype(np.int64)
    host.unoptimized().check(workload, 4, [left, right], exact[None].astype(np.int32))


@pytest.mark.parametrize("text", ["x86-64-v3", "x86-64-v4"])
@pytest.mark.parametrize("fits", [False, True])
@pytest.mark.parametrize("largest", [False, True])
def test_is_exact_without_vnni(kernels_for: Any, text: str, fits: bool, largest: bool) -> None:
    """With weights of which neighbours fit 16 bits, and with any."""
    target = parse_target(text, 2)
    if not LOCAL.facts().can_run(target):
        pytest.skip(f"this machine cannot run {text}")
    workload = integer_product(17, 37, 33, zero=7, epilogue=ACC)
    left, right = product_integers(workload)[:2]
    if largest:
        left, right = np.full_like(left, 255), np.full_like(right, -64 if fits else -128)
    if fits:
        right = np.clip(right, -64, 64)
        workload = replace(workload, attrs=tuple(sorted({**dict(workload.attrs), "pairs_fit": 1}.items())))
    exact = (left[0].astype(np.int64) - 7) @ right.astype(np.int64)
    kernels_for(target).check(workload, 2, [left, right], exact[None].astype(np.int32))


@needs_bytes
@pytest.mark.parametrize("depth", [4, 1027])
def test_the_largest_products_do_not_saturate(host: Any, depth: int) -> None:
    workload = integer_product(19, depth, 40, zero=0, epilogue=ACC)
    inputs = [np.full((1, 19, depth), 255, np.uint8), np.full((depth, 40), -128, np.int8)]
    host.check(workload, 0, inputs, np.full((1, 19, 40), -128 * 255 * depth, np.int32))


@needs_bytes
def test_quantises_what_it_computes(host: Any) -> None:
    """Ties go to the even number, what is out of range to the ends."""
    scale, bias = Tensor((1, 1, 33)), Tensor((1, 1, 33))
    epilogue = call("quantize", BY_COLUMN, Const(0.5), Const(3.0))
    workload = integer_product(9, 21, 33, scale, bias, zero=4, epilogue=epilogue, dtype="uint8")
    left, right, *_ = product_integers(workload)
    inputs = [left, right, np.full((1, 1, 33), 2.0**-6, np.float32), np.linspace(-9, 90, 33, dtype=np.float32)]
    inputs[3] = inputs[3].reshape(1, 1, 33)
    sums = (left[0].astype(np.int64) - 4) @ right.astype(np.int64)
    real = sums.astype(np.float32) * np.float32(2.0**-6) + inputs[3][0]
    wanted = np.clip(np.rint(real / np.float32(0.5)) + 3, 0, 255)
    assert 0 < (wanted == 0).sum() < wanted.size, "some are out of range"
    host.check(workload, 3, inputs, wanted[None].astype(np.uint8))


@needs_bytes
@pytest.mark.parametrize("columns", [9, 33])
def test_operands_by_row_and_by_element(host: Any, columns: int) -> None:
    """Integers of four bytes for each row and for all, a residual of bytes, and a long function of their sum."""
    rows = 9
    by_row, one = Tensor((1, rows, 1), "int32"), Tensor((), "int32")
    residual = Tensor((1, rows, columns), "uint8")
    total = call("sub", call("add", ACC, Arg(2)), Arg(3))
    real = call("mul", call("add", call("to_float32", total), call("to_float32", Arg(4))), Const(1e-4))
    for epilogue in (real, call("sigmoid", real)):
        workload = integer_product(rows, 20, columns, by_row, one, residual, zero=9, epilogue=epilogue, dtype="float32")
        random = np.random.default_rng(2)
        inputs = [
            *product_integers(workload)[:2],
            random.integers(-(10**5), 10**5, (1, rows, 1)).astype(np.int32),
            np.array(1234, np.int32),
            random.integers(0, 256, residual.shape).astype(np.uint8),
        ]
        host.check(workload, 2, inputs)


@needs_bytes
def test_every_corner_of_the_space(host: Any) -> None:
    workload = integer_product(53, 70, 213, zero=8, epilogue=ACC)
    host.unoptimized().check(workload, 16, product_integers(workload))


def test_is_only_for_machines_that_multiply_bytes() -> None:
    workload = integer_product(16, 16, 16, zero=3, epilogue=ACC)
    assert not IntegerDense().accepts(workload, parse_target("aarch64", 1))
