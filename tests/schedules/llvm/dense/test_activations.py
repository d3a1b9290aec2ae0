"""Products of two quantised matrices: exact for every value, on odd shapes, at the edges of the sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.workloads.integers import integer_matrices
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.schedules.expression import ACC, Const, call
from tvmopt.schedules.llvm.parts.quads import multiplies_bytes
from tvmopt.schedules.target import parse_target

HOST = parse_target("llvm", 2)
pytestmark = pytest.mark.skipif(not multiplies_bytes(HOST), reason="this machine does not multiply bytes")

SIZES = [(1, 5, 64, 48), (3, 17, 37, 33), (2, 9, 3, 1), (2, 30, 130, 67), (4, 1, 1, 16)]


@pytest.mark.parametrize("zeros", [(0, 128), (7, 0), (255, 255), (128, 127)])
@pytest.mark.parametrize("sizes", SIZES)
def test_is_exact(host: Any, sizes: tuple[int, int, int, int], zeros: tuple[int, int]) -> None:
    """Against sums of int64; both matrices end where their memory ends."""
    workload = integer_matrices(sizes, zeros)
    random = np.random.default_rng(0)
    left, right = (random.integers(0, 256, tensor.shape).astype(np.uint8) for tensor in workload.inputs)
    exact = (left.astype(np.int64) - zeros[0]) @ (right.astype(np.int64) - zeros[1])
    host.unoptimized().check(workload, 3, [left, right], exact.astype(np.int32))


@pytest.mark.parametrize("text", ["x86-64-v3", "x86-64-v4"])
@pytest.mark.parametrize("value", [0, 255, None])
def test_is_exact_without_vnni(kernels_for: Any, text: str, value: int | None) -> None:
    """On random matrices, and where all products are as large as they may be."""
    target = parse_target(text, 2)
    if not LOCAL.facts().can_run(target):
        pytest.skip(f"this machine cannot run {text}")
    workload = integer_matrices((2, 9, 37, 33), (7, 128))
    random = np.random.default_rng(0)
    left, right = (random.integers(0, 256, tensor.shape).astype(np.uint8) for tensor in workload.inputs)
    if value is not None:
        left[...], right[...] = 255, value
    exact = (left.astype(np.int64) - 7) @ (right.astype(np.int64) - 128)
    kernels_for(target).check(workload, 2, [left, right], exact.astype(np.int32))


@pytest.mark.parametrize("value", [0, 255])
def test_the_largest_products_do_not_saturate(host: Any, value: int) -> None:
    workload = integer_matrices((2, 13, 1027, 40), (0, 255 - value))
    inputs = [np.full((2, 13, 1027), 255, np.uint8), np.full((2, 1027, 40), value, np.uint8)]
    host.check(workload, 0, inputs, np.full((2, 13, 40), 255 * (2 * value - 255) * 1027, np.int32))


def test_quantises_what_it_computes(host: Any) -> None:
    epilogue = call("quantize", call("to_float32", ACC), Const(2.0**10), Const(99.0))
    workload = integer_matrices((3, 20, 24, 29), (3, 200), epilogue=epilogue, dtype="uint8")
    random = np.random.default_rng(0)
    host.check(workload, 3, [random.integers(0, 256, x.shape).astype(np.uint8) for x in workload.inputs])
