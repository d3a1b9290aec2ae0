"""Layers that compute each element from the elements at its place."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.caffe.layers.work import Translate, Work

_PRODUCT, _SUM = 0, 1


def _plain(operator: str) -> Translate:
    return lambda work: [work.builder.add(operator, work.x)]


def _relu(work: Work) -> list[str]:
    slope = work.parameters("relu_param").negative_slope
    return [work.builder.add("LeakyRelu", work.x, alpha=slope) if slope else work.builder.add("Relu", work.x)]


def _relu6(work: Work) -> list[str]:
    return [work.builder.add("Clip", work.x, work.builder.number(0.0), work.builder.number(6.0))]


def _elu(work: Work) -> list[str]:
    return [work.builder.add("Elu", work.x, alpha=work.parameters("elu_param").alpha)]


def _swish(work: Work) -> list[str]:
    beta, x = work.parameters("swish_param").beta, work.x
    scaled = x if beta == 1 else work.builder.add("Mul", x, work.builder.number(beta))
    return [work.builder.add("Mul", x, work.builder.add("Sigmoid", scaled))]


def _clip(work: Work) -> list[str]:
    p = work.parameters("clip_param")
    if not p.HasField("min") or not p.HasField("max") or p.min > p.max:
        raise InputFileError(f"{work}: takes a min and a max that is not below it")
    return [work.builder.add("Clip", work.x, work.builder.number(p.min), work.builder.number(p.max))]


def _threshold(work: Work) -> list[str]:
    limit = work.builder.number(work.parameters("threshold_param").threshold)
    return [work.builder.add("Cast", work.builder.add("Greater", work.x, limit), to=1)]


def _linear(work: Work, scale: float, shift: float) -> str:
    """The value times `scale`, plus `shift`."""
    value = work.x
    if scale != 1:
        value = work.builder.add("Mul", value, work.builder.number(scale))
    if shift != 0:
        value = work.builder.add("Add", value, work.builder.number(shift))
    return value


def _power(work: Work) -> list[str]:
    p = work.parameters("power_param")
    value = _linear(work, p.scale, p.shift)
    return [value if p.power == 1 else work.builder.add("Pow", value, work.builder.number(p.power))]


def _natural_log(work: Work, base: float) -> float:
    """The logarithm of a base; -1 stands for e."""
    if base == -1:
        return 1.0
    if base <= 0 or base == 1:
        raise InputFileError(f"{work}: the base must be positive and not 1, or -1 for e; got {base:g}")
    return math.log(base)


def _exp(work: Work) -> list[str]:
    p = work.parameters("exp_param")
    factor = _natural_log(work, p.base) if p.base != 1 else 0.0
    return [work.builder.add("Exp", _linear(work, p.scale * factor, p.shift * factor))]


def _log(work: Work) -> list[str]:
    p = work.parameters("log_param")
    factor = 1 / _natural_log(work, p.base)
    value = work.builder.add("Log", _linear(work, p.scale, p.shift))
    return [value if factor == 1 else work.builder.add("Mul", value, work.builder.number(factor))]


def _eltwise(work: Work) -> list[str]:
    p, values = work.parameters("eltwise_param"), list(work.bottoms)
    if len(values) < 2:
        raise InputFileError(f"{work}: takes at least two blobs, got {len(values)}")
    if len({work.builder.shape(value) for value in values}) > 1:
        shapes = ", ".join(str(list(work.builder.shape(value))) for value in values)
        raise InputFileError(f"{work}: all blobs must have the same shape, got {shapes}")
    if p.coeff and (p.operation != _SUM or len(p.coeff) != len(values)):
        raise InputFileError(f"{work}: {len(p.coeff)} coefficients for {len(values)} blobs; only a sum takes them")
    if any(factor != 1 for factor in p.coeff):
        values = [
            value if factor == 1 else work.builder.add("Mul", value, work.builder.number(factor))
            for value, factor in zip(values, p.coeff, strict=True)
        ]
    operator = {_PRODUCT: "Mul", _SUM: "Add"}.get(p.operation, "Max")
    result = values[0]
    for value in values[1:]:
        result = work.builder.add(operator, result, value)
    return [result]


def _axpy(work: Work) -> list[str]:
    """Squeeze-and-excitation's layer: the first blob's factor per channel, times the second, plus the third."""
    batch, channels = work.dimensions(2)[:2]
    maps = work.bottom(1)
    factors = work.reshaped(work.x, [batch, channels, *[1] * (len(work.builder.shape(maps)) - 2)])
    return [work.builder.add("Add", work.builder.add("Mul", maps, factors), work.bottom(2))]


LAYERS: Mapping[str, Translate] = {
    "AbsVal": _plain("Abs"),
    "Axpy": _axpy,
    "BNLL": _plain("Softplus"),
    "Clip": _clip,
    "Dropout": lambda work: [work.x],
    "ELU": _elu,
    "Eltwise": _eltwise,
    "Exp": _exp,
    "Log": _log,
    "Power": _power,
    "ReLU": _relu,
    "ReLU6": _relu6,
    "Sigmoid": _plain("Sigmoid"),
    "Swish": _swish,
    "TanH": _plain("Tanh"),
    "Threshold": _threshold,
}
