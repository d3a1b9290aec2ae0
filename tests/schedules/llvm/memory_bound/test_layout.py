from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.llvm.memory_bound.layout import Concat
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


@pytest.mark.parametrize("last", [1, 5, 16])
def test_concat(kernels: Any, make: Any, target: Target, last: int) -> None:
    lanes = target.lanes("float32")
    channels = (2 * lanes, lanes, last)
    inputs = [
        Tensor((2, count, 5, 4), block=lanes, halo=halo)
        for count, halo in zip(channels, [(0, 0, 0, 0), (1, 1, 2, 0), (0, 0, 0, 0)], strict=True)
    ]
    output = Tensor((2, sum(channels), 5, 4), block=lanes, halo=(1, 0, 1, 0))
    kernels.check(make("concat", inputs, output))


def test_concat_of_plain_maps(kernels: Any, make: Any) -> None:
    inputs = [Tensor((2, count, 3, 4)) for count in (3, 1, 5)]
    kernels.check(make("concat", inputs, Tensor((2, 9, 3, 4))))


def test_concat_of_the_same_map_twice(kernels: Any, make: Any, target: Target) -> None:
    half = Tensor((1, target.lanes("float32"), 3, 3), block=target.lanes("float32"))
    kernels.check(
        make("concat", (half, half), Tensor((1, 2 * target.lanes("float32"), 3, 3), block=target.lanes("float32")))
    )


def test_concat_that_starts_inside_a_block_is_refused(make: Any, target: Target) -> None:
    lanes = target.lanes("float32")
    inputs = [Tensor((1, count, 3, 3), block=lanes) for count in (lanes + 1, lanes)]
    assert not Concat().accepts(make("concat", inputs, Tensor((1, 2 * lanes + 1, 3, 3), block=lanes)), target)
