"""Pooling, and what makes maps of another size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.mxnet.layers.geometry import channels_first, geometry
from tvmopt.pipeline.importers.mxnet.layers.work import Translate, Work
from tvmopt.pipeline.importers.onnx_form.building.windows import Windows, pool


def _pooling(work: Work) -> list[str]:
    return channels_first(work, _pooled)


def _pooled(work: Work, x: str) -> str:
    kind = work.node.value("pool_type", "max")
    if kind not in ("max", "avg", "sum", "lp"):
        raise work.refuse(f"pool_type {kind}", "use max, avg, sum or lp")
    power = work.node.value("p_value", 2) if kind == "lp" else 1
    if power not in (1, 2, 3):
        raise work.refuse(f"p_value {power}", "use 1, 2 or 3")
    builder = work.builder
    if kind == "lp":
        positive = builder.add("Abs", x)
        x = positive if power == 1 else builder.add("Pow", positive, builder.number(power))
    if work.node.value("global_pool", False):
        result, count = builder.add("GlobalMaxPool" if kind == "max" else "GlobalAveragePool", x), 0
        count = math.prod(builder.shape(x)[2:])
    else:
        windows = _windows(work, builder.shape(x)[2:])
        if kind in ("sum", "lp"):
            x, windows = _padded(work, x, windows)
        result = pool(builder, x, windows, kind != "max", work.node.value("count_include_pad", True))
        count = math.prod(windows.kernel)
    if kind in ("sum", "lp"):
        result = builder.add("Mul", result, builder.number(count))
    if power > 1:
        result = builder.add("Pow", result, builder.number(1 / power))
    return result


def _windows(work: Work, sizes: Sequence[int]) -> Windows:
    kernel, stride, _, pad = geometry(work, len(sizes))
    convention = work.node.value("pooling_convention", "valid")
    each = list(zip(sizes, kernel, stride, pad, strict=True))
    if convention == "full":
        return Windows(kernel, stride, pad, [-(-(size + 2 * p - k) // s) + 1 for size, k, s, p in each])
    if convention == "valid":
        return Windows(kernel, stride, pad, [(size + 2 * p - k) // s + 1 for size, k, s, p in each])
    raise work.refuse(f"pooling_convention {convention}", "use valid or full")


def _padded(work: Work, x: str, windows: Windows) -> tuple[str, Windows]:
    """Zeros around the maps, so that each window is whole and its sum is its average times its size."""
    sizes = work.builder.shape(x)[2:]
    each = zip(windows.counts, windows.stride, windows.kernel, sizes, windows.pad, strict=True)
    ends = [max(0, (count - 1) * step + width - size - first) for count, step, width, size, first in each]
    pads = work.builder.integers([0, 0, *windows.pad, 0, 0, *ends])
    whole = work.builder.add("Pad", x, pads, work.builder.number(0.0))
    return whole, Windows(windows.kernel, windows.stride, [0] * len(sizes), windows.counts)


def _resized(work: Work, x: str, sizes: Sequence[int], **attributes: Any) -> str:
    target = work.builder.integers([*work.builder.shape(x)[:2], *sizes])
    return work.builder.add("Resize", x, "", "", target, **attributes)


_NEAREST = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor", "mode": "nearest"}


def _upsampling(work: Work) -> list[str]:
    """Nearest of one or several values, or bilinear, which is a transposed convolution with weights of the user's."""
    scale, kind = work.node.value("scale", 1), work.node.value("sample_type", "nearest")
    if len(work.shape) != 4 or scale < 1:
        raise InputFileError(f"{work}: scale {scale} of an array of shape {list(work.shape)}")
    sizes = [size * scale for size in work.shape[2:]]
    if kind == "bilinear":
        channels, width, pad = work.shape[1], 2 * scale - scale % 2, -(-(scale - 1) // 2)
        weights = work.builder.constant(work.parameter(1, (channels, 1, width, width)), "weights")
        shape = {"kernel_shape": [width] * 2, "strides": [scale] * 2, "pads": [pad] * 4}
        return [work.builder.add("ConvTranspose", work.x, weights, group=channels, **shape)]
    values = [work.value(index) for index in range(len(work.operands))]
    parts = [_resized(work, value, sizes, **_NEAREST) for value in values]
    if len(parts) == 1:
        return parts
    if work.node.value("multi_input_mode", "concat") == "concat":
        return [work.builder.add("Concat", *parts, axis=1)]
    return [work.builder.add("Sum", *parts)]


def _bilinear(work: Work) -> list[str]:
    value, own = work.node.value, work.shape[2:]
    mode = value("mode", "size")
    if len(own) != 2 or mode not in ("size", "like"):
        raise work.refuse(f"mode {mode} for an array of shape {list(work.shape)}", "use mode size or like on maps")
    if mode == "like" or len(work.operands) > 1:
        sizes = list(work.builder.shape(work.value(1))[2:])
    else:
        scales = [value("scale_height"), value("scale_width")]
        sizes = [value("height", 1), value("width", 1)]
        if all(isinstance(scale, (int, float)) for scale in scales):
            sizes = [int(size * scale) for size, scale in zip(own, scales, strict=True)]
    if len(sizes) != 2 or min(sizes) < 1:
        raise InputFileError(f"{work}: maps of size {list(own)} to {sizes}")
    corners = "align_corners" if value("align_corners", True) else "half_pixel"
    return [_resized(work, work.x, sizes, mode="linear", coordinate_transformation_mode=corners)]


def _adaptive(work: Work) -> list[str]:
    """Averages of so many windows as are asked for, which may overlap: a product with a matrix along each axis."""
    wanted = work.node.sizes("output_size") or (1,)
    wanted = wanted * 2 if len(wanted) == 1 else wanted
    if len(work.shape) != 4 or len(wanted) != 2 or min(wanted) < 1 or max(wanted) > 1 << 12:
        raise InputFileError(f"{work}: output_size {list(wanted)} for an array of shape {list(work.shape)}")
    if wanted == (1, 1):
        return [work.builder.add("GlobalAveragePool", work.x)]
    rows, columns = (_averaging(size, count) for size, count in zip(work.shape[2:], wanted, strict=True))
    down = work.builder.add("MatMul", work.builder.constant(rows, "rows"), work.x)
    return [work.builder.add("MatMul", down, work.builder.constant(np.ascontiguousarray(columns.T), "columns"))]


def _averaging(size: int, count: int) -> np.ndarray:
    matrix = np.zeros((count, size), np.float32)
    for place in range(count):
        first, end = place * size // count, -(-(place + 1) * size // count)
        matrix[place, first:end] = 1 / (end - first)
    return matrix


OPERATORS: Mapping[str, Translate] = {
    "Pooling": _pooling,
    "Pooling_v1": _pooling,
    "UpSampling": _upsampling,
    "_contrib_AdaptiveAvgPooling2D": _adaptive,
    "_contrib_BilinearResize2D": _bilinear,
}
