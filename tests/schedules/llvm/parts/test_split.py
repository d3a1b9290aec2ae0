"""Splitting an extent into nearly equal pieces."""

from __future__ import annotations

from typing import Any

import pytest

from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.split import Cut


@pytest.mark.parametrize(
    ("extent", "step", "sizes"),
    [
        (49, 12, [(10, 4), (9, 1)]),
        (49, 6, [(6, 4), (5, 5)]),
        (28, 14, [(14, 2)]),
        (7, 6, [(4, 1), (3, 1)]),
        (3, 14, [(3, 1)]),
        (5, 1, [(1, 5)]),
        (1, 1, [(1, 1)]),
    ],
)
def test_sizes(extent: int, step: int, sizes: list[tuple[int, int]]) -> None:
    assert Cut.of(extent, step).sizes() == sizes


@pytest.mark.parametrize("extent", range(1, 40))
@pytest.mark.parametrize("step", [1, 2, 3, 5, 6, 12])
def test_pieces_cover_the_extent_in_order(extent: int, step: int) -> None:
    cut = Cut.of(extent, step)
    found: list[tuple[int, int]] = []

    def note(first: Any, size: int) -> Any:
        found.append((first, size))
        return emit.seq([])

    for index in range(cut.pieces):
        # Both branches are written, even for a known index; the longer pieces take the first branch.
        before = len(found)
        cut.piece(index, note)
        taken = found[before] if index < cut.count else found[-1]
        del found[before:]
        found.append(taken)
    assert all(size <= step for _, size in found)
    assert [first for first, _ in found] == [sum(size for _, size in found[:i]) for i in range(len(found))]
    assert sum(size for _, size in found) == extent
    assert sum(size * count for size, count in cut.sizes()) == extent
