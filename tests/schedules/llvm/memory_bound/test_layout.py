from __future__ import annotations

from typing import Any

import pytest

from tvmopt.schedules.llvm.memory_bound.layout import Concat
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor


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
