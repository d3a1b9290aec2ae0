"""Layers with weights per output or channel."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.caffe.layers.work import Translate, Work


def _inner_product(work: Work) -> list[str]:
    """A matrix product of all dimensions from `axis` on."""
    p = work.parameters("inner_product_param")
    axis, builder = work.axis(p.axis), work.builder
    before, inputs, outputs = work.shape[:axis], math.prod(work.shape[axis:]), p.num_output
    if not outputs:
        raise InputFileError(f"{work}: num_output must be at least 1, got 0")
    weights = work.weights(0, (inputs, outputs) if p.transpose else (outputs, inputs))
    matrix = builder.constant(weights, "weights")
    del weights
    flat = work.x if len(work.shape) == 2 and axis == 1 else builder.add("Flatten", work.x, axis=axis)
    operands = [flat, matrix]
    if p.bias_term:
        operands.append(builder.constant(work.weights(1, (outputs,)), "bias"))
    product = builder.add("Gemm", *operands, transB=0 if p.transpose else 1)
    return [product if len(before) == 1 else builder.add("Reshape", product, builder.integers([*before, outputs]))]


def _batch_norm(work: Work) -> list[str]:
    """Mean and variance are sums in the file; the third blob says of how many."""
    p = work.parameters("batch_norm_param")
    if p.HasField("use_global_stats") and not p.use_global_stats:
        raise work.refuse("statistics of the batch", "remove use_global_stats: false, which is for training")
    channels = work.shape[1] if len(work.shape) > 1 else 1
    count = float(work.weights(2, (1,))[0])
    factor = np.float32(0 if count == 0 else 1 / count)
    mean, variance = (work.weights(index, (channels,)) * factor for index in (0, 1))
    ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    names = ("scale", "shift", "mean", "variance")
    constants = [
        work.builder.constant(array, name) for array, name in zip((ones, zeros, mean, variance), names, strict=True)
    ]
    return [work.builder.add("BatchNormalization", work.x, *constants, epsilon=p.eps)]


def _factors(work: Work, index: int, axis: int, num_axes: int) -> str:
    """The second bottom, or the blob `index` where there is none, so that it fits the dimensions from `axis` on."""
    rank = len(work.shape)
    if len(work.bottoms) > 1:
        own = work.builder.shape(work.bottoms[1])
        return work.reshaped(work.bottoms[1], [*own, *[1] * (rank - work.axis(axis) - len(own))] if own else [1])
    return _blob(work, index, axis, num_axes)


def _blob(work: Work, index: int, axis: int, num_axes: int) -> str:
    """The blob `index`, which has `num_axes` dimensions from `axis` on; -1 are all."""
    rank, first = len(work.shape), work.axis(axis)
    last = rank if num_axes == -1 else first + num_axes
    shape = [*work.shape[first:last], *[1] * (rank - last)] if num_axes else [1]
    return work.builder.constant(work.weights(index, shape), "factors")


def _scale(work: Work) -> list[str]:
    p = work.parameters("scale_param")
    scaled = work.builder.add("Mul", work.x, _factors(work, 0, p.axis, p.num_axes))
    if not p.bias_term:
        return [scaled]
    if len(work.bottoms) == 1:
        return [work.builder.add("Add", scaled, _blob(work, 1, p.axis, p.num_axes))]
    return [work.builder.add("Add", scaled, _blob(work, 0, p.axis, len(work.builder.shape(work.bottoms[1]))))]


def _bias(work: Work) -> list[str]:
    p = work.parameters("bias_param")
    return [work.builder.add("Add", work.x, _factors(work, 0, p.axis, p.num_axes))]


def _prelu(work: Work) -> list[str]:
    shared = work.parameters("prelu_param").channel_shared
    slopes = work.weights(0, (1,) if shared else (work.dimensions(2)[1],))
    slopes = slopes if shared else slopes.reshape(-1, *[1] * (len(work.shape) - 2))
    return [work.builder.add("PRelu", work.x, work.builder.constant(slopes, "slopes"))]


LAYERS: Mapping[str, Translate] = {
    "BatchNorm": _batch_norm,
    "Bias": _bias,
    "InnerProduct": _inner_product,
    "PReLU": _prelu,
    "Scale": _scale,
}
