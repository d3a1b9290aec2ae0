"""Layers with weights, and normalisation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.mxnet.layers.geometry import channels_first, channels_last, geometry
from tvmopt.pipeline.importers.mxnet.layers.work import Translate, Work


def _convolution(work: Work) -> list[str]:
    return channels_first(work, _convolved)


def _convolved(work: Work, x: str) -> str:
    """With channels last, weights are stored so, too."""
    shape = work.builder.shape(x)
    kernel, stride, dilation, pad = geometry(work, len(shape) - 2)
    transposed, last = work.node.operator == "Deconvolution", channels_last(work)
    channels, outputs, group = shape[1], work.node.value("num_filter", 0), work.node.value("num_group", 1)
    if group < 1 or outputs < 1 or channels % group or outputs % group:
        raise InputFileError(f"{work}: {channels} channels to {outputs} in {group} groups")
    first, second = (channels, outputs // group) if transposed else (outputs, channels // group)
    weights = work.parameter(1, (first, *kernel, second) if last else (first, second, *kernel))
    weights = np.ascontiguousarray(np.moveaxis(weights, -1, 1)) if last else weights
    operands = [x, work.builder.constant(weights, "weights")]
    del weights
    if not work.node.value("no_bias", transposed):
        operands.append(work.builder.constant(work.parameter(2, (outputs,)), "bias"))
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "dilations": dilation, "pads": pad + pad}
    if transposed:
        attributes |= _size_of_result(work, shape[2:], attributes)
    return work.builder.add("ConvTranspose" if transposed else "Conv", *operands, group=group, **attributes)


def _size_of_result(work: Work, sizes: Sequence[int], attributes: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """What the size that is asked for, or `adj`, changes in a transposed convolution."""
    target, adj = work.node.sizes("target_shape"), list(work.node.sizes("adj"))
    if not any(target):
        return {"output_padding": adj} if adj else {}
    kernel, stride, dilation = (attributes[name] for name in ("kernel_shape", "strides", "dilations"))
    each = zip(sizes, stride, kernel, dilation, strict=True)
    full = [(size - 1) * step + (width - 1) * apart + 1 for size, step, width, apart in each]
    if len(target) != len(sizes) or any(one > whole or one < 1 for one, whole in zip(target, full, strict=True)):
        raise InputFileError(f"{work}: target_shape {list(target)}, but without padding the maps are {full}")
    rest = [whole - size for whole, size in zip(full, target, strict=True)]
    pad = [-(-one // 2) for one in rest]
    return {"pads": pad + pad, "output_padding": [one % 2 for one in rest]}


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
    rank, axis = len(work.shape), work.axis(work.node.value("axis", -1))
    size = (work.shape[axis],)
    operands = [work.builder.constant(work.parameter(index, size), "factors") for index in (1, 2)]
    epsilon = float(work.node.value("eps", 1e-5))
    order = [place for place in range(rank) if place != axis] + [axis]
    last = axis == rank - 1
    x = work.x if last else work.builder.add("Transpose", work.x, perm=order)
    normal = work.builder.add("LayerNormalization", x, *operands, axis=rank - 1, epsilon=epsilon)
    back = [order.index(place) for place in range(rank)]
    return [normal if last else work.builder.add("Transpose", normal, perm=back)]


def _instance_norm(work: Work) -> list[str]:
    operands = [work.builder.constant(work.parameter(index, work.shape[1:2]), "factors") for index in (1, 2)]
    epsilon = float(work.node.value("eps", 1e-3))
    return [work.builder.add("InstanceNormalization", work.x, *operands, epsilon=epsilon)]


def _group_norm(work: Work) -> list[str]:
    """Factors are those of the groups, or, in newer files, of the channels."""
    groups, channels = work.node.value("num_groups", 1), work.shape[1] if len(work.shape) > 2 else 0
    if groups < 1 or not channels or channels % groups:
        raise InputFileError(f"{work}: an array of shape {list(work.shape)} in {groups} groups")
    builder, integers, rest = work.builder, work.builder.integers, list(work.shape[2:])
    parts = builder.add("Reshape", work.x, integers([work.shape[0], groups, -1]))
    plain = [builder.constant(array, "plain") for array in (np.ones(groups, np.float32), np.zeros(groups, np.float32))]
    normal = builder.add("InstanceNormalization", parts, *plain, epsilon=float(work.node.value("eps", 1e-5)))
    grouped = builder.add("Reshape", normal, integers([work.shape[0], groups, channels // groups, *rest]))
    count = work.elements(1)
    shape = (groups, 1) if count == groups != channels else (groups, channels // groups)
    factors = [work.parameter(index, shape).reshape(*shape, *[1] * len(rest)) for index in (1, 2)]
    scaled = builder.add("Mul", grouped, builder.constant(factors[0], "gamma"))
    shifted = builder.add("Add", scaled, builder.constant(factors[1], "beta"))
    return [builder.add("Reshape", shifted, integers(work.shape))]


OPERATORS: Mapping[str, Translate] = {
    "BatchNorm": _batch_norm,
    "BatchNorm_v1": _batch_norm,
    "Convolution": _convolution,
    "Convolution_v1": _convolution,
    "Deconvolution": _convolution,
    "FullyConnected": _fully_connected,
    "GroupNorm": _group_norm,
    "InstanceNorm": _instance_norm,
    "L2Normalization": _l2_normalization,
    "LRN": _lrn,
    "LayerNorm": _layer_norm,
}
