"""Kernels and layouts of what slides windows over maps."""

from __future__ import annotations

from collections.abc import Callable

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.mxnet.layers.work import Work

_LAST = {"NWC": 3, "NHWC": 4, "NDHWC": 5}
_FIRST = {"NCW": 3, "NCHW": 4, "NCDHW": 5}


def channels_last(work: Work) -> bool:
    """Whether the node says that the channels are the last dimension.

    Raises:
        UnsupportedModelError: its layout is another.
    """
    layout = work.node.value("layout")
    if layout is None or _FIRST.get(layout) == len(work.shape):
        return False
    if _LAST.get(layout) == len(work.shape):
        return True
    raise work.refuse(
        f"layout {layout} of an array of shape {list(work.shape)}", f"use one of {', '.join([*_FIRST, *_LAST])}"
    )


def channels_first(work: Work, translate: Callable[[Work, str], str]) -> list[str]:
    """What `translate` makes of the node and its value with channels first, in the node's own layout."""
    rank = len(work.shape)
    if not channels_last(work):
        return [translate(work, work.x)]
    turned = work.builder.add("Transpose", work.x, perm=[0, rank - 1, *range(1, rank - 1)])
    return [work.builder.add("Transpose", translate(work, turned), perm=[0, *range(2, rank), 1])]


def geometry(work: Work, count: int) -> tuple[list[int], list[int], list[int], list[int]]:
    """Kernel, stride, dilation and padding, one for each of `count` spatial dimensions.

    Raises:
        InputFileError: they are not as many, or not in their range.
    """
    kernel = list(work.node.sizes("kernel"))
    if count != len(kernel) or not count:
        raise InputFileError(f"{work}: a kernel of {kernel} for maps of shape {list(work.shape)}")
    stride, dilation = (list(work.node.sizes(name)) or [1] * count for name in ("stride", "dilate"))
    pad = list(work.node.sizes("pad")) or [0] * count
    if min(*kernel, *stride, *dilation) < 1 or min(pad) < 0 or {len(stride), len(dilation), len(pad)} != {count}:
        raise InputFileError(f"{work}: kernel {kernel}, stride {stride}, dilation {dilation}, pad {pad}")
    return kernel, stride, dilation, pad
