"""Layers with weights, pooling and normalisation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.mxnet.work import Translate, Work
from tvmopt.pipeline.importers.onnx_form.building.windows import Windows, pool


def _geometry(work: Work) -> tuple[list[int], list[int], list[int], list[int]]:
    """Kernel, stride, dilation and padding, one for each spatial dimension."""
    kernel = list(work.node.sizes("kernel"))
    count = len(kernel)
    if count != len(work.shape) - 2 or not count:
        raise InputFileError(f"{work}: a kernel of {kernel} for maps of shape {list(work.shape)}")
    stride, dilation = (list(work.node.sizes(name)) or [1] * count for name in ("stride", "dilate"))
    pad = list(work.node.sizes("pad")) or [0] * count
    if min(*kernel, *stride, *dilation) < 1 or min(pad) < 0 or {len(stride), len(dilation), len(pad)} != {count}:
        raise InputFileError(f"{work}: kernel {kernel}, stride {stride}, dilation {dilation}, pad {pad}")
    return kernel, stride, dilation, pad


def _check_layout(work: Work) -> None:
    layout = work.node.value("layout")
    if layout not in (None, "NCHW", "NCW", "NCDHW"):
        raise work.refuse(f"layout {layout}", "save the network with channels first (NCHW)")


def _convolution(work: Work) -> list[str]:
    _check_layout(work)
    kernel, stride, dilation, pad = _geometry(work)
    transposed = work.node.operator == "Deconvolution"
    channels, outputs, group = work.shape[1], work.node.value("num_filter", 0), work.node.value("num_group", 1)
    if group < 1 or outputs < 1 or channels % group or outputs % group:
        raise InputFileError(f"{work}: {channels} channels to {outputs} in {group} groups")
    first, second = (channels, outputs) if transposed else (outputs, channels)
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "dilations": dilation, "pads": pad + pad}
    if transposed:
        target = work.node.sizes("target_shape")
        if any(target):
            full = [
                (size - 1) * s + (k - 1) * d + 1
                for size, s, k, d in zip(work.shape[2:], stride, kernel, dilation, strict=True)
            ]
            rest = [whole - size for whole, size in zip(full, target, strict=True)]
            pad = [-(-one // 2) for one in rest]
            attributes["pads"] = pad + pad
            attributes["output_padding"] = [one % 2 for one in rest]
        elif work.node.sizes("adj"):
            attributes["output_padding"] = list(work.node.sizes("adj"))
    operands = [work.x, work.builder.constant(work.parameter(1, (first, second // group, *kernel)), "weights")]
    if not work.node.value("no_bias", transposed):
        operands.append(work.builder.constant(work.parameter(2, (outputs,)), "bias"))
    return [work.builder.add("ConvTranspose" if transposed else "Conv", *operands, group=group, **attributes)]


def _fully_connected(work: Work) -> list[str]:
    """A matrix product of all dimensions but the first, or of the last one."""
    outputs, builder = work.node.value("num_hidden", 0), work.builder
    flatten = work.node.value("flatten", True)
    before = work.shape[:1] if flatten else work.shape[:-1]
    inputs = math.prod(work.shape[len(before) :])
    if outputs < 1:
        raise InputFileError(f"{work}: num_hidden must be at least 1, got {outputs}")
    flat = work.x if len(work.shape) == 2 else builder.add("Flatten", work.x, axis=len(before))
    operands = [flat, builder.constant(work.parameter(1, (outputs, inputs)), "weights")]
    if not work.node.value("no_bias", False):
        operands.append(builder.constant(work.parameter(2, (outputs,)), "bias"))
    product = builder.add("Gemm", *operands, transB=1)
    return [product if len(before) == 1 else builder.add("Reshape", product, builder.integers([*before, outputs]))]


def _batch_norm(work: Work) -> list[str]:
    """`fix_gamma`, which is on by default, means factors of 1 whatever the file holds."""
    axis = work.axis(work.node.value("axis", 1))
    channels = work.shape[axis]
    gamma, beta, mean, variance = (work.parameter(index, (channels,)) for index in range(1, 5))
    if work.node.value("fix_gamma", True):
        gamma = np.ones(channels, np.float32)
    arrays = (gamma, beta, mean, variance)
    names = ("scale", "shift", "mean", "variance")
    constants = [work.builder.constant(array, name) for array, name in zip(arrays, names, strict=True)]
    epsilon = float(work.node.value("eps", 1e-3))
    if axis == 1:
        return [work.builder.add("BatchNormalization", work.x, *constants, epsilon=epsilon)]
    order = list(range(len(work.shape)))
    order[1], order[axis] = axis, 1
    turned = work.builder.add("Transpose", work.x, perm=order)
    normal = work.builder.add("BatchNormalization", turned, *constants, epsilon=epsilon)
    return [work.builder.add("Transpose", normal, perm=order)]


def _pooling(work: Work) -> list[str]:
    _check_layout(work)
    kind = work.node.value("pool_type", "max")
    if kind not in ("max", "avg"):
        raise work.refuse(f"pool_type {kind}", "use max or avg")
    average = kind == "avg"
    if work.node.value("global_pool", False):
        return [work.builder.add("GlobalAveragePool" if average else "GlobalMaxPool", work.x)]
    kernel, stride, _, pad = _geometry(work)
    sizes, convention = work.shape[2:], work.node.value("pooling_convention", "valid")
    each = list(zip(sizes, kernel, stride, pad, strict=True))
    if convention == "full":
        counts = [-(-(size + 2 * p - k) // s) + 1 for size, k, s, p in each]
    elif convention == "valid":
        counts = [(size + 2 * p - k) // s + 1 for size, k, s, p in each]
    else:
        raise work.refuse(f"pooling_convention {convention}", "use valid or full")
    windows = Windows(kernel, stride, pad, counts)
    return [pool(work.builder, work.x, windows, average, work.node.value("count_include_pad", True))]


def _lrn(work: Work) -> list[str]:
    value = work.node.value
    size = value("nsize", 5)
    if size < 1 or size % 2 == 0:
        raise InputFileError(f"{work}: nsize must be odd, got {size}")
    factors = {
        "alpha": float(value("alpha", 1e-4)),
        "beta": float(value("beta", 0.75)),
        "bias": float(value("knorm", 2.0)),
    }
    return [work.builder.add("LRN", work.x, size=size, **factors)]


def _l2_normalization(work: Work) -> list[str]:
    rank, mode = len(work.shape), work.node.value("mode", "instance")
    axes = {"instance": range(1, rank), "channel": [1], "spatial": range(2, rank)}.get(mode)
    if axes is None:
        raise work.refuse(f"mode {mode}", "use instance, channel or spatial")
    squares = work.builder.add("Mul", work.x, work.x)
    total = work.builder.add("ReduceSum", squares, work.builder.integers(axes), keepdims=1)
    shifted = work.builder.add("Add", total, work.builder.number(float(work.node.value("eps", 1e-10))))
    return [work.builder.add("Div", work.x, work.builder.add("Sqrt", shifted))]


def _layer_norm(work: Work) -> list[str]:
    axis = work.axis(work.node.value("axis", -1))
    if axis != len(work.shape) - 1:
        raise work.refuse(f"axis {axis} of {len(work.shape)}", "normalise along the last axis")
    size = (work.shape[axis],)
    operands = [work.builder.constant(work.parameter(index, size), "factors") for index in (1, 2)]
    epsilon = float(work.node.value("eps", 1e-5))
    return [work.builder.add("LayerNormalization", work.x, *operands, axis=axis, epsilon=epsilon)]


def _instance_norm(work: Work) -> list[str]:
    operands = [work.builder.constant(work.parameter(index, work.shape[1:2]), "factors") for index in (1, 2)]
    epsilon = float(work.node.value("eps", 1e-3))
    return [work.builder.add("InstanceNormalization", work.x, *operands, epsilon=epsilon)]


def _embedding(work: Work) -> list[str]:
    """Indices are floats; those outside the table count as its first or last row."""
    rows, width = work.node.value("input_dim", 0), work.node.value("output_dim", 0)
    table = work.builder.constant(work.parameter(1, (rows, width)), "table")
    top = work.builder.number(float(rows - 1))
    inside = work.builder.add("Clip", work.x, work.builder.number(0.0), top)
    return [work.builder.add("Gather", table, work.builder.add("Cast", inside, to=7))]


OPERATORS: Mapping[str, Translate] = {
    "BatchNorm": _batch_norm,
    "BatchNorm_v1": _batch_norm,
    "Convolution": _convolution,
    "Convolution_v1": _convolution,
    "Deconvolution": _convolution,
    "Embedding": _embedding,
    "FullyConnected": _fully_connected,
    "InstanceNorm": _instance_norm,
    "L2Normalization": _l2_normalization,
    "LRN": _lrn,
    "LayerNorm": _layer_norm,
    "Pooling": _pooling,
    "Pooling_v1": _pooling,
}
