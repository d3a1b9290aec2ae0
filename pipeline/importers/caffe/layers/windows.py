"""Pooling and local response normalisation."""

from __future__ import annotations

from collections.abc import Mapping

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.caffe.layers.convolution import spatial
from tvmopt.pipeline.importers.caffe.layers.work import Translate, Work
from tvmopt.pipeline.importers.onnx_form.building.windows import Windows, pool

_MAX, _AVE = 0, 1
_FLOOR = 1


def pooled(size: int, kernel: int, stride: int, pad: int, ceil: bool) -> int:
    """How many windows Caffe places: by default the last may stick out, but must begin inside or in the first pad."""
    rest = size + 2 * pad - kernel
    count = (-(-rest // stride) if ceil else rest // stride) + 1
    return count - 1 if (count - 1) * stride >= size + pad else count


def _pooling(work: Work) -> list[str]:
    p, shape = work.parameters("pooling_param"), work.shape
    if len(shape) < 3:
        raise InputFileError(f"{work}: takes maps, got an array of shape {list(shape)}")
    if p.pool not in (_MAX, _AVE):
        raise work.refuse("stochastic pooling", "train with MAX or AVE")
    if len(work.layer.tops) > 1:
        raise work.refuse("the places of maxima as second top", "use a Deconvolution where they are read")
    if p.global_pooling:
        return [work.builder.add("GlobalMaxPool" if p.pool == _MAX else "GlobalAveragePool", work.x)]
    kernel, stride, pad = (spatial(work, p, name, 0) for name in ("kernel_size", "stride", "pad"))
    ceil = p.round_mode != _FLOOR and p.ceil_mode
    if min(kernel) < 1 or min(stride) < 1 or any(a >= b for a, b in zip(pad, kernel, strict=True)):
        raise InputFileError(f"{work}: kernel {kernel}, stride {stride}, pad {pad}: no windows")
    counts = [pooled(*each, ceil) for each in zip(shape[2:], kernel, stride, pad, strict=True)]
    return [pool(work.builder, work.x, Windows(kernel, stride, pad, counts), p.pool == _AVE)]


def _lrn(work: Work) -> list[str]:
    p = work.parameters("lrn_param")
    if p.local_size % 2 == 0:
        raise InputFileError(f"{work}: local_size must be odd, got {p.local_size}")
    if p.norm_region == 0:
        return [work.builder.add("LRN", work.x, alpha=p.alpha, beta=p.beta, bias=p.k, size=p.local_size)]
    count = len(work.shape) - 2
    square = work.builder.add("Mul", work.x, work.x)
    pads = [(p.local_size - 1) // 2] * (2 * count)
    mean = work.builder.add("AveragePool", square, kernel_shape=[p.local_size] * count, pads=pads, count_include_pad=1)
    scaled = work.builder.add("Mul", mean, work.builder.number(p.alpha))
    shifted = work.builder.add("Add", scaled, work.builder.number(1.0))
    return [work.builder.add("Mul", work.x, work.builder.add("Pow", shifted, work.builder.number(-p.beta)))]


def _mvn(work: Work) -> list[str]:
    p, rank = work.parameters("mvn_param"), len(work.shape)
    axes = work.builder.integers(range(1 if p.across_channels else 2, rank))
    centred = work.builder.add("Sub", work.x, work.builder.add("ReduceMean", work.x, axes, keepdims=1))
    if not p.normalize_variance:
        return [centred]
    variance = work.builder.add("ReduceMean", work.builder.add("Mul", centred, centred), axes, keepdims=1)
    deviation = work.builder.add("Add", work.builder.add("Sqrt", variance), work.builder.number(p.eps))
    return [work.builder.add("Div", centred, deviation)]


def _normalize(work: Work) -> list[str]:
    """SSD's layer: each vector of channels, or the whole, has length 1, times a factor per channel."""
    p, rank = work.parameters("norm_param"), len(work.shape)
    axes = work.builder.integers(range(1, rank) if p.across_spatial else [1])
    squares = work.builder.add("ReduceSum", work.builder.add("Mul", work.x, work.x), axes, keepdims=1)
    length = work.builder.add("Sqrt", work.builder.add("Add", squares, work.builder.number(p.eps)))
    factors = work.weights(0, (1,) if p.channel_shared else (work.dimensions(2)[1],))
    factors = factors.reshape(-1, *[1] * (rank - 2)) if not p.channel_shared else factors
    normal = work.builder.add("Div", work.x, length)
    return [work.builder.add("Mul", normal, work.builder.constant(factors, "factors"))]


LAYERS: Mapping[str, Translate] = {
    "LRN": _lrn,
    "MVN": _mvn,
    "Normalize": _normalize,
    "Pooling": _pooling,
}
