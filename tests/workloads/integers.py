"""Workloads of quantised maps."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from tvmopt.schedules.expression import ACC, Arg, Const, Expr, call
from tvmopt.schedules.llvm.convolution.integers.corrections import facts_of
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

LANES = 16
"""Sums in a vector of AVX-512."""

REQUANTIZED: Expr = call(
    "quantize", call("add", call("mul", call("to_float32", ACC), Arg(2)), Arg(3)), Const(1.0), Const(5.0)
)


def integer_convolution(
    data: tuple[int, int, int, int],
    channels: int,
    kernel: tuple[int, int] = (3, 3),
    *,
    strides: tuple[int, int] = (1, 1),
    dilations: tuple[int, int] = (1, 1),
    zero: int = 3,
    groups: int = 1,
    block: int | None = None,
    lanes: int = LANES,
    halo: tuple[int, int, int, int] = (1, 0, 2, 1),
    epilogue: Expr = REQUANTIZED,
) -> Workload:
    """A convolution of integers with pads of half a window; ``integer_depthwise_conv2d`` if channels are groups.

    Args:
        data: shape of the data.
        channels: of the output.
        kernel: rows and columns.
        strides: of the windows.
        dilations: of the windows.
        zero: the zero point of the data.
        groups: of channels.
        block: of the data, by default the lanes.
        lanes: of the target.
        halo: of the output.
        epilogue: of scales and biases by channel.
    """
    n, in_channels, *size = data
    pads = (kernel[0] // 2 * dilations[0], kernel[1] // 2 * dilations[1])
    depthwise = groups == in_channels == channels > 1
    read = (kernel[0], -(-kernel[1] // 4) * 4 if depthwise else kernel[1])
    out = [(size[i] + 2 * pads[i] - (kernel[i] - 1) * dilations[i] - 1) // strides[i] + 1 for i in range(2)]
    reach = [(out[i] - 1) * strides[i] + (read[i] - 1) * dilations[i] + 1 for i in range(2)]
    after = [max(0, reach[i] - pads[i] - size[i]) for i in range(2)]
    by_channel = Tensor((1, channels, 1, 1), block=lanes)
    attrs = {"dilations": dilations, "groups": groups, "pads": (*pads, *pads), "strides": strides, "zero": zero}
    return Workload(
        "integer_depthwise_conv2d" if depthwise else "integer_conv2d",
        (
            Tensor(data, "uint8", block or lanes, (*pads, *after), zero),
            Tensor((channels, in_channels // groups, *kernel), "int8"),
            by_channel,
            by_channel,
        ),
        Tensor((n, channels, *out), "uint8", lanes, halo, 5),
        tuple(sorted(attrs.items())),
        epilogue,
    )


def for_lanes(workload: Workload, lanes: int) -> Workload:
    """`workload` of `LANES`, in blocks of other lanes."""

    def blocked(tensor: Tensor) -> Tensor:
        return replace(tensor, block=lanes if tensor.block == LANES else tensor.block)

    return replace(workload, inputs=tuple(map(blocked, workload.inputs)), output=blocked(workload.output))


def with_facts(workload: Workload, target: Target, weights: np.ndarray) -> Workload:
    """`workload` with what the graph finds of its weights."""
    attrs = {**dict(workload.attrs), **facts_of(target, weights)}
    return replace(workload, attrs=tuple(sorted(attrs.items())))


def narrow_weights(shape: tuple[int, ...], extreme: bool = False) -> np.ndarray:
    """Weights of which products of neighbours fit 16 bits, and those of few quads do not.

    Most are small; some quads are as large as they may be, to either side, also with single weights of all eight bits.
    """
    random = np.random.default_rng(1)
    weights = np.clip(np.rint(random.normal(0, 16, shape)), -64, 64)
    quads = np.array([[64, 64, 64, 64], [-64, -64, -64, -64], [127, 1, -128, 0], [0, -128, 1, 127]])
    places = range(shape[0]) if extreme else random.choice(shape[0], max(1, shape[0] // 16), replace=False)
    for place in places:
        first = 4 * int(random.integers(-(-shape[1] // 4)))
        several = min(8, shape[1] - first)
        drawn = quads[random.integers(4, size=-(-several // 4))].ravel()
        weights[place, first : first + several, 0, -1] = drawn[:several]
    return weights.astype(np.int8)


def integers_for(workload: Workload, extreme: bool = False) -> list[np.ndarray]:
    """Inputs of the whole range, or the extremes alone; scales that spread the results over the quantised range."""
    random = np.random.default_rng(0)
    data, weight, scale, bias = workload.inputs
    spread = np.sqrt(math.prod(weight.shape[1:])) * (30000 if extreme else 100)
    choices = (np.array([0, 255]), np.array([-128, 127])) if extreme else (np.arange(256), np.arange(-128, 128))
    return [
        random.choice(choices[0], data.shape).astype(np.uint8),
        random.choice(choices[1], weight.shape).astype(np.int8),
        (random.uniform(0.5, 1.5, scale.shape) / spread).astype(np.float32),
        (60 + 40 * random.standard_normal(bias.shape)).astype(np.float32),
    ]


def integer_product(
    rows: int, depth: int, columns: int, *operands: Tensor, zero: int, epilogue: Expr, dtype: str = "int32"
) -> Workload:
    """A matrix product of quantised rows and constant weights.

    Args:
        rows: of the data.
        depth: elements of a row.
        columns: of the result.
        operands: of the epilogue.
        zero: the zero point of the data.
        epilogue: of the sums.
        dtype: of the result.
    """
    inputs = (Tensor((1, rows, depth), "uint8"), Tensor((depth, columns), "int8"), *operands)
    attrs = (("packed", 1), ("zero", zero))
    return Workload("integer_dense", inputs, Tensor((1, rows, columns), dtype), attrs, epilogue)


def product_integers(workload: Workload) -> list[np.ndarray]:
    """Data and weights of the whole range, every value of each."""
    random = np.random.default_rng(0)
    left, right = workload.inputs[:2]
    data, weights = np.arange(left.elements) % 256, np.arange(right.elements) % 256 - 128
    return [
        random.permutation(data).reshape(left.shape).astype(np.uint8),
        random.permutation(weights).reshape(right.shape).astype(np.int8),
    ]


def integer_matrices(
    sizes: tuple[int, int, int, int], zeros: tuple[int, int], *, epilogue: Expr = ACC, dtype: str = "int32"
) -> Workload:
    """Products of two matrices that are both computed.

    Args:
        sizes: how many matrices, rows of the left one, its columns, columns of the right one.
        zeros: the zero points of both.
        epilogue: of the sums.
        dtype: of the result.
    """
    batch, rows, depth, columns = sizes
    inputs = (Tensor((batch, rows, depth), "uint8"), Tensor((batch, depth, columns), "uint8"))
    attrs = (("packed", 0), ("right_zero", zeros[1]), ("zero", zeros[0]))
    return Workload("integer_dense", inputs, Tensor((batch, rows, columns), dtype), attrs, epilogue)
