"""Pooling as frameworks with a fixed number of windows define it: the last windows may stick out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.onnx_form.building.builder import GraphBuilder


@dataclass(frozen=True, slots=True)
class Windows:
    """Where windows lie, for each spatial dimension.

    Attributes:
        kernel: their size.
        stride: the distance between two.
        pad: how much is added on both sides.
        counts: how many there are.
    """

    kernel: Sequence[int]
    stride: Sequence[int]
    pad: Sequence[int]
    counts: Sequence[int]


def pool(builder: GraphBuilder, x: str, windows: Windows, average: bool, count_pad: bool = True) -> str:
    """The largest elements of the windows, or their averages.

    Args:
        builder: takes the nodes.
        x: float32, images × channels × spatial dimensions.
        windows: where they are.
        average: whether averages are asked for.
        count_pad: whether an average counts the padding. It never counts what is behind the padding.

    Raises:
        InputFileError: a window holds no element.
    """
    kernel, stride, pad = (list(one) for one in (windows.kernel, windows.stride, windows.pad))
    sizes = builder.shape(x)[2:]
    each = list(zip(windows.counts, stride, kernel, sizes, pad, strict=True))
    ends = [max(0, (count - 1) * step + width - size - first) for count, step, width, size, first in each]
    if min(windows.counts) < 1 or any(
        one >= width for one, width in zip([*pad, *ends], [*kernel, *kernel], strict=True)
    ):
        raise InputFileError(f"windows of {kernel} every {stride}, padded by {pad}, do not fit maps of {list(sizes)}")
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "pads": [*pad, *ends]}
    if not average:
        return builder.add("MaxPool", x, **attributes)
    if not any(pad) or not count_pad:
        return builder.add("AveragePool", x, count_include_pad=0, **attributes)
    averaged = builder.add("AveragePool", x, count_include_pad=1, **attributes)
    if all(end <= first for end, first in zip(ends, pad, strict=True)):
        return averaged
    return builder.add("Mul", averaged, builder.constant(_shares(windows, sizes)))


def _shares(windows: Windows, sizes: Sequence[int]) -> npt.NDArray[np.float32]:
    """By how much an average over whole windows is too small, as it counts what is behind the padding, too."""
    factor = np.ones((), np.float32)
    each = zip(sizes, windows.kernel, windows.stride, windows.pad, windows.counts, strict=True)
    for size, kernel, stride, pad, count in each:
        starts = np.arange(count) * stride - pad
        counted = np.minimum(starts + kernel, size + pad) - starts
        factor = np.multiply.outer(factor, (kernel / counted).astype(np.float32))
    return factor[None, None]
