"""What windows and pooling should compute, in numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.workload import Workload

Array = npt.NDArray[Any]


def windows(workload: Workload, data: Array, kernel: tuple[int, int], fill: float) -> Array:
    """All windows: ``(N, C, OH, OW, KH, KW)``, padded with `fill` as far as the output reaches."""
    strides, pads = workload.attr("strides"), workload.attr("pads")
    dilations = dict(workload.attrs).get("dilations", (1, 1))
    assert isinstance(dilations, tuple)
    _, _, height, width = workload.output.shape
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    after = [
        max(0, (size - 1) * stride + r - extent - before)
        for size, stride, r, extent, before in zip(
            (height, width), strides, reach, data.shape[2:], pads[:2], strict=True
        )
    ]
    padded = np.pad(data, ((0, 0), (0, 0), (pads[0], after[0]), (pads[1], after[1])), constant_values=fill)
    views = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    views = views[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    return views[:, :, :height, :width]


def pool2d(workload: Workload, inputs: Sequence[Array]) -> Array:
    """Maxima and averages of windows, of images or volumes; averages of quantised values are those of their floats."""
    return _pool3d(workload, inputs[0]) if "depth" in dict(workload.attrs) else _pool_images(workload, inputs)


def _pool3d(workload: Workload, data: Array) -> Array:
    """Pooling of planes, by its definition: window after window."""
    (window, stride, _, size, front, behind), pads = workload.attr("depth"), workload.attr("pads")
    kernel, strides = (window, *workload.attr("kernel")), (stride, *workload.attr("strides"))
    volumes = data.shape[0] // size
    made = (workload.output.shape[0] // volumes, *workload.output.shape[2:])
    whole = data.reshape(volumes, size, *data.shape[1:]).swapaxes(1, 2)
    before, after, maximum = (front, *pads[:2]), (behind, *pads[2:]), workload.attr("kind") == "max"
    result = np.zeros((volumes, data.shape[1], *made), data.dtype)
    for at in np.ndindex(*made):
        starts = [at[i] * strides[i] - before[i] for i in range(3)]
        inside = [slice(max(0, starts[i]), max(0, starts[i] + kernel[i])) for i in range(3)]
        part = whole[:, :, inside[0], inside[1], inside[2]]
        ends = [whole.shape[2 + i] + (after[i] if workload.attr("count_pads") else 0) for i in range(3)]
        firsts = [starts[i] if workload.attr("count_pads") else inside[i].start for i in range(3)]
        count = math.prod(min(starts[i] + kernel[i], ends[i]) - firsts[i] for i in range(3))
        result[(..., *at)] = part.max((2, 3, 4)) if maximum else part.sum((2, 3, 4)) / count
    return result.swapaxes(1, 2).reshape(workload.output.shape)


def _pool_images(workload: Workload, inputs: Sequence[Array]) -> Array:
    data, kernel, pads = inputs[0], workload.attr("kernel"), workload.attr("pads")
    if workload.attr("kind") == "max":
        lowest = -np.inf if data.dtype.kind == "f" else 0
        return np.asarray(windows(workload, data, kernel, lowest).max(axis=(4, 5)))
    if data.dtype.kind == "u":
        data = (data.astype(FLOAT32) - np.float32(workload.attr("zero"))) * np.float32(workload.attr("scale"))
    ones = np.ones_like(data)
    if workload.attr("count_pads"):
        # Declared pads count; extra padding from rounding sizes up does not.
        margins = ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3]))
        attrs = tuple((name, (0, 0, 0, 0) if name == "pads" else value) for name, value in workload.attrs)
        inner = Workload("pool2d", workload.inputs, workload.output, attrs)
        counts = windows(inner, np.pad(ones, margins, constant_values=1.0), kernel, 0.0).sum(axis=(4, 5))
    else:
        counts = windows(workload, ones, kernel, 0.0).sum(axis=(4, 5))
    under = windows(workload, data, kernel, 0.0)
    if inputs[0].dtype.kind == "u":
        # Where floats stand for integers, the order of the additions decides on which side of a tie they are.
        lines = [[under[..., i, j] for i in range(kernel[0])] for j in range(kernel[1])]
        taps = [under[..., i, j] for i, j in np.ndindex(kernel)]
        parts = [sum(line) for line in lines] if workload.attr("by_column") else taps
        return np.asarray(sum(parts) / counts.astype(FLOAT32), FLOAT32)
    return np.asarray(under.sum(axis=(4, 5)) / counts)
