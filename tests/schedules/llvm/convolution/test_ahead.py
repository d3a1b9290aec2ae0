"""What direct convolution prefetches of its data."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tvmopt.schedules.llvm.convolution.direct import DirectConv2d
from tvmopt.schedules.llvm.convolution.direct_nest import NEXT_BLOCK, NEXT_TILE, DirectConv2dNest
from tvmopt.schedules.llvm.convolution.panel import Panel
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.target import parse_target
from tvmopt.schedules.workload import Workload

TARGET = parse_target("x86-64-v4", 1)
BLOCK = 3
"""The channel block of which data is fetched."""

TILES: dict[str, tuple[tuple[int, int, int, int], dict[str, Any], tuple[int, int], int]] = {
    "one row": ((1, 64, 1, 40), {"kernel": (1, 2), "strides": (1, 2)}, (1, 13), 1),
    "one row, dilated, padded": (
        (1, 64, 1, 40),
        {"kernel": (1, 3), "pads": (0, 4, 0, 4), "dilations": (1, 4)},
        (1, 14),
        1,
    ),
    "rows that run on": ((1, 64, 7, 7), {"kernel": (2, 1)}, (2, 7), 1),
    "rows that run on over a halo": ((1, 64, 5, 3), {"kernel": (2, 2), "margin": (0, 1, 0, 1)}, (2, 3), 1),
    "rows of their own": ((1, 64, 13, 17), {"kernel": (2, 2)}, (2, 7), 2),
    "rows with a stride": ((1, 64, 9, 9), {"kernel": (1, 1), "strides": (2, 2)}, (2, 3), 2),
}
"""Data, the convolution's options, a tile's rows and columns, and how many prefetches a step has."""


@pytest.mark.parametrize("name", TILES)
def test_all_that_a_tap_reads_of_the_next_block_is_fetched(
    wide: Callable[..., Workload], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    data, options, size, each = TILES[name]
    options = dict(options)
    workload = wide(16, data, 32, options.pop("kernel"), **options)
    found: list[int] = []
    pitch, height = workload.inputs[0].physical_shape[3], workload.inputs[0].physical_shape[2]
    margin, pads = workload.inputs[0].halo, workload.attr("pads")

    def line(block: int, row: int, column: int) -> int:
        return (block * height + row) * pitch + column

    monkeypatch.setattr(emit, "prefetch", lambda view, at: found.append(line(*at[1:4])))
    config = {**DirectConv2d().default(workload, TARGET), "rows": size[0], "columns": size[1], "data_ahead": NEXT_BLOCK}
    packed = DirectConv2d().packed(workload, TARGET, config)[1]
    nest, offset = DirectConv2dNest(workload, TARGET, config, packed), (margin[0] - pads[0], margin[1] - pads[1])
    kernel, first = workload.inputs[1].shape[2:], (1 if size[0] > 1 else 0, 2)
    panel = Panel(0, 0, 0, 2, (0, 1), (kernel[0], kernel[1]), offset)
    for tap in itertools.product(*map(range, kernel)):
        found.clear()
        for lane in range(16):
            assert len(nest._block_ahead(panel, first, size, BLOCK, (*tap, lane))) == each
        read = {
            line(
                BLOCK,
                *(
                    (first[axis] + place[axis]) * workload.attr("strides")[axis]
                    + tap[axis] * workload.attr("dilations")[axis]
                    + offset[axis]
                    for axis in range(2)
                ),
            )
            for place in itertools.product(*map(range, size))
        }
        assert read <= set(found)
        assert all(0 <= place < data[1] // 16 * height * pitch for place in read)


@pytest.mark.parametrize(
    ("data", "options", "ahead"),
    [
        ((1, 512, 1, 299), {"kernel": (1, 2), "strides": (1, 2)}, NEXT_BLOCK),
        ((1, 1152, 7, 7), {}, NEXT_BLOCK),
        ((1, 64, 56, 56), {}, NEXT_TILE),
        ((1, 512, 7, 7), {"kernel": (3, 3), "pads": (1, 1, 1, 1)}, 0),
        ((1, 3, 56, 56), {"kernel": (2, 2), "block": 1}, 0),
    ],
)
def test_what_the_default_fetches(
    wide: Callable[..., Workload], data: tuple[int, int, int, int], options: dict[str, Any], ahead: int
) -> None:
    options = {"kernel": (1, 1), **options}
    workload = wide(16, data, 512, options.pop("kernel"), **options)
    config = DirectConv2d().default(workload, TARGET)
    assert config["data_ahead"] == ahead
    assert DirectConv2d().space(workload, TARGET).contains(config)


@pytest.mark.parametrize(("columns", "ahead"), [(48000, 1), (480, 0)])
def test_the_default_fetches_the_results_of_few_multiply_adds_before_it_writes_them(
    wide: Callable[..., Workload], columns: int, ahead: int
) -> None:
    """If they come from beyond the cache: 512 channels of 9599 pixels are 20 MB."""
    workload = wide(16, (1, 1, 1, columns), 512, (1, 10), strides=(1, 5), block=1)
    assert DirectConv2d().default(workload, TARGET)["result_ahead"] == ahead
