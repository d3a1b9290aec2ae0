"""Operations of operators that slide over a tensor or sample it: pooling, local normalisation, resizing."""

from __future__ import annotations

import math

from tvmopt.pipeline.inspection.costs.types import Operation, elements

_TAPS = {"nearest": 0, "linear": 2, "bilinear": 2, "cubic": 4, "bicubic": 4}
"""Neighbours that an interpolation weighs along one axis."""


def pooling(operation: Operation) -> int:
    """One operation for each element of each window; two where elements are also raised to a power."""
    window = math.prod(int(size) for size in operation.attributes["kernel_shape"])
    return elements(operation.output) * window * (2 if operation.operator == "LpPool" else 1)


def global_pooling(operation: Operation) -> int:
    """Like `pooling`, with one window that is the whole map."""
    return elements(operation.input(0)) * (2 if operation.operator == "GlobalLpPool" else 1)


def local_response(operation: Operation) -> int:
    """``LRN``: a multiply-add for each channel in the window; multiply-add, power and division with the sum."""
    return elements(operation.output) * (2 * int(operation.attributes["size"]) + 4)


def resizing(operation: Operation) -> int:
    """A multiply-add for each neighbour, along the axes that change; copying the nearest costs none."""
    shape, taps = operation.input(0).shape, _TAPS[str(operation.attributes.get("mode", "nearest"))]
    changed = sum(before != after for before, after in zip(shape, operation.output.shape, strict=True))
    return 2 * elements(operation.output) * taps**changed if changed and taps else 0


def grid_sampling(operation: Operation) -> int:
    """Like `resizing`, along all axes that have coordinates."""
    taps = _TAPS[str(operation.attributes.get("mode", "linear"))]
    axes = len(operation.output.shape) - 2
    return 2 * elements(operation.output) * taps**axes if taps else 0


def region_alignment(operation: Operation) -> int:
    """``RoiAlign``: bilinear samples, `sampling_ratio` squared for each element (one where it adapts to the region)."""
    samples = max(1, int(operation.attributes.get("sampling_ratio", 0))) ** 2
    return 8 * samples * elements(operation.output)
