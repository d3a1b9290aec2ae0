"""Choices of channels: parts, joints inside blocks, shuffles, and how few loops they take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.llvm.maps.channels import blocks_alike, part_of_memory
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

HALOS = [(0, 0, 0, 0), (1, 0, 2, 1)]


def choice(lanes: int, counts: Any, channels: Any, size: tuple[int, int] = (3, 5), halos: Any = HALOS[:1] * 2) -> Any:
    """A workload from maps with these numbers of channels."""
    inputs = tuple(Tensor((2, count, *size), block=lanes, halo=halos[0]) for count in counts)
    output = Tensor((2, len(channels), *size), block=lanes, halo=halos[1])
    return Workload("channels", inputs, output, (("channels", tuple(channels)),))


def shuffled(count: int, groups: int) -> list[int]:
    """ShuffleNet's order of channels."""
    return [int(x) for x in np.arange(count).reshape(groups, -1).T.ravel()]


@pytest.mark.parametrize("halos", [HALOS, HALOS[::-1], HALOS[:1] * 2])
@pytest.mark.parametrize("kind", ["part", "joint", "shuffle", "half of a shuffle", "many", "reversed", "one", "twice"])
def test_channels(kernels: Any, target: Target, kind: str, halos: Any) -> None:
    lanes = target.lanes("float32")
    odd = 2 * lanes + 3
    counts, channels = {
        "part": ((odd,), range(lanes - 1, 2 * lanes + 1)),
        "joint": ((odd, 1, lanes), range(odd + 1 + lanes)),
        "shuffle": ((odd, odd), shuffled(2 * odd, 2)),
        "half of a shuffle": ((odd, odd), shuffled(2 * odd, 2)[odd:]),
        "many": ((7,) * 9, shuffled(63, 9)),
        "reversed": ((odd,), range(odd)[::-1]),
        "one": ((odd,), [odd - 1]),
        "twice": ((odd,), [*range(odd), *range(odd)]),
    }[kind]
    kernels.unoptimized().check(choice(lanes, counts, channels, halos=halos))


@pytest.mark.parametrize("size", [(1, 1), (1, 130), (9, 1)])
def test_sizes(kernels: Any, target: Target, size: tuple[int, int]) -> None:
    lanes = target.lanes("float32")
    for halos in (HALOS, HALOS[:1] * 2):
        kernels.unoptimized().check(choice(lanes, (lanes + 1, lanes), range(2 * lanes + 1), size, halos))


def test_other_channels_do_not_matter(host: Any) -> None:
    """NaN beside the chosen channels is neither in them nor in the absent ones."""
    lanes = host.target.lanes("float32")
    workload = choice(lanes, (2 * lanes,), range(1, lanes - 2))
    data = np.full(workload.inputs[0].shape, np.nan, np.float32)
    data[:, 1 : lanes - 2] = np.random.default_rng(0).standard_normal((2, lanes - 3, 3, 5))
    (memory,) = host.run(workload, [data], [{}])
    np.testing.assert_array_equal(memory, workload.output.store(data[:, 1 : lanes - 2]))


def test_blocks_that_are_alike_share_a_loop() -> None:
    """Three maps: one loop for each, and single blocks at the joint inside one and at the end."""
    found = blocks_alike(choice(8, (40, 36, 40), range(116)))
    made = [(one.first, one.count, len(one.vectors)) for one in found]
    assert made == [(0, 5, 1), (5, 4, 1), (9, 1, 2), (10, 4, 2), (14, 1, 1)]


@pytest.mark.parametrize(
    ("channels", "offset"),
    [
        (range(8), 0),
        (range(8, 24), 8 * 15),
        (range(16, 27), 16 * 15),
        (range(4, 12), None),
        (range(8, 12), None),
        ([*range(8), *range(16, 24)], None),
    ],
)
def test_parts_of_memory(channels: Any, offset: int | None) -> None:
    def workload(images: int, halo: Any = HALOS[0]) -> Workload:
        source, shape = Tensor((images, 27, 3, 5), block=8), (images, len(channels), 3, 5)
        return Workload("channels", (source,), Tensor(shape, block=8, halo=halo), (("channels", tuple(channels)),))

    assert part_of_memory(workload(1)) == offset
    assert part_of_memory(workload(2)) is None
    assert part_of_memory(workload(1, HALOS[1])) is None


def test_a_part_with_another_zero_point_around_it_has_memory_of_its_own() -> None:
    source = Tensor((1, 32, 3, 5), "uint8", 16, (1, 1, 1, 1), fill=128)
    part, chosen = replace(source, shape=(1, 16, 3, 5)), (("channels", tuple(range(16))),)
    assert part_of_memory(Workload("channels", (source,), part, chosen)) == 0
    assert part_of_memory(Workload("channels", (source,), replace(part, fill=3), chosen)) is None
