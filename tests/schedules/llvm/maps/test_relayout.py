"""Changes of layout: every pair of layouts, rows of every length, halos, absent channels, other element types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor

HALOS = [(0, 0, 0, 0), (1, 2, 0, 3)]


@pytest.mark.sweep
@pytest.mark.parametrize("channels", [1, 21, 31, 32])
@pytest.mark.parametrize("blocks", [(1, 0), (0, 1), (0, 0), (1, 1)], ids=lambda pair: f"{pair[0]}to{pair[1]}")
@pytest.mark.parametrize("halo", HALOS)
def test_relayout(
    kernels: Any, make: Any, target: Target, channels: int, blocks: tuple[int, int], halo: tuple[int, int, int, int]
) -> None:
    before, after = ((1, target.lanes("float32"))[block] for block in blocks)
    shape = (2, channels, 3, 5)
    for source in HALOS:
        workload = make("relayout", (Tensor(shape, block=before, halo=source),), Tensor(shape, block=after, halo=halo))
        kernels.unoptimized().check(workload)


def test_relayout_between_two_blocks(kernels: Any, make: Any) -> None:
    shape = (1, 21, 3, 5)
    kernels.check(make("relayout", (Tensor(shape, block=4),), Tensor(shape, block=8, halo=(1, 1, 1, 1))))


def test_relayout_fills_absent_channels_with_zeros(kernels: Any, make: Any, target: Target) -> None:
    shape = (1, target.lanes("float32") + 1, 2, 2)
    workload = make("relayout", (Tensor(shape),), Tensor(shape, block=target.lanes("float32")))
    (memory,) = kernels.run(workload, [np.ones(shape, np.float32)], [{}])
    assert memory.sum() == np.prod(shape)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float64"])
def test_relayout_of_other_dtypes(host: Any, make: Any, dtype: str) -> None:
    shape = (1, 9, 2, 3)
    data = np.arange(54).reshape(shape).astype(dtype)
    workload = make("relayout", (Tensor(shape, dtype),), Tensor(shape, dtype, block=4))
    host.check(workload, 0, [data], data)


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (7, 7), (2, 17), (3, 33), (1, 300)])
@pytest.mark.parametrize("inward", [True, False])
def test_rows_that_are_no_multiple_of_a_tile(
    kernels: Any, make: Any, target: Target, size: tuple[int, int], inward: bool
) -> None:
    shape, block = (1, 2 * target.lanes("float32") + 3, *size), target.lanes("float32")
    for halo in HALOS:
        maps, plain = Tensor(shape, block=block, halo=halo), Tensor(shape)
        kernels.unoptimized().check(make("relayout", (plain,), maps) if inward else make("relayout", (maps,), plain))


def test_values_that_hurt_stay_in_their_channels(kernels: Any, make: Any, target: Target) -> None:
    """Absent channels are zeros, even beside infinity and NaN."""
    shape, block = (1, target.lanes("float32") + 1, 3, 5), target.lanes("float32")
    data = np.full(shape, np.nan, np.float32)
    data[:, ::2], data[:, ::3] = np.inf, -0.0
    for after in (Tensor(shape, block=block), Tensor(shape, block=block, halo=(1, 0, 0, 2))):
        workload = make("relayout", (Tensor(shape),), after)
        (memory,) = kernels.run(workload, [data], [{}])
        np.testing.assert_array_equal(memory, after.store(data))
        np.testing.assert_array_equal(np.signbit(memory), np.signbit(after.store(data)))


@pytest.mark.parametrize("halo", [(0, 0, 0, 0), (1, 2, 0, 3)])
@pytest.mark.parametrize("channels", [1, 3, 4, 6])
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (5, 7), (2, 17), (3, 33), (1, 300)])
def test_bytes_in_blocks_of_four(
    host: Any, make: Any, size: tuple[int, int], channels: int, halo: tuple[int, int, int, int]
) -> None:
    """The halo is full of the zero point, absent channels are zeros."""
    shape = (2, channels, *size)
    data = np.random.default_rng(0).integers(1, 256, shape).astype(np.uint8)
    after = Tensor(shape, "uint8", block=4, halo=halo, fill=9)
    workload = make("relayout", (Tensor(shape, "uint8"),), after)
    (memory,) = host.unoptimized().run(workload, [data], [{}])
    top, left, bottom, right = halo
    rows, columns = slice(top, memory.shape[2] - bottom), slice(left, memory.shape[3] - right)
    expected = after.store(data)
    assert np.array_equal(memory[:, :, rows, columns], expected[:, :, rows, columns])
    present = min(channels, 4)
    assert np.array_equal(memory[:, 0, ..., :present], expected[:, 0, ..., :present])
