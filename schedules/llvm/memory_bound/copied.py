"""Facts about copies that need no TVM: which element types there are kernels for, and which copies are mere views."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tvmopt.schedules.workload import Workload

MOVED = ("float32", "int32", "int64", "float64", "uint8")
"""Element types that are copied; TVM holds booleans in vectors of another size."""


def merged(sizes: Sequence[int], strides: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The same copy in as few dimensions as possible: without those of size one, neighbours merged where they follow.

    Args:
        sizes: of the result's dimensions.
        strides: of the source, in elements.
    """
    made: list[tuple[int, int]] = []
    for size, stride in zip(sizes, strides, strict=True):
        if size == 1:
            continue
        if made and made[-1][1] == size * stride:
            made[-1] = (made[-1][0] * size, stride)
        else:
            made.append((size, stride))
    made = made or [(1, 1)]
    return tuple(size for size, _ in made), tuple(stride for _, stride in made)


def is_slice(workload: Workload) -> bool:
    """Whether a copy's result is a part of its source, in the same order."""
    if workload.op != "copy":
        return False
    sizes, strides = merged(workload.attr("sizes"), workload.attr("strides"))
    if math.prod(sizes) > workload.output.elements:
        return False  # rows of channels that end within a block
    return len(sizes) == 1 and (strides[0] == 1 or sizes[0] == 1)
