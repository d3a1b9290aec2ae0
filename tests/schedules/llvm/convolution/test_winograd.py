"""Winograd's convolution: against PyTorch, over its whole space, and its accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from tests.workloads.convolutions import Volume, transposed, transposed_by_torch
from tvmopt.schedules.compute.winograd import TILES
from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.llvm.convolution.winograd import Winograd
from tvmopt.schedules.race import ALGORITHM
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

WINOGRAD = 1
"""Its place in the race for convolution."""

ERROR_LIMIT = 1e-3
"""What a layer may be off, relative to its largest value."""

SHAPES: dict[str, tuple[tuple[int, int, int, int], int, dict[str, Any]]] = {
    "one tile": ((1, 32, 4, 4), 32, {"pads": (1, 1, 1, 1)}),
    "one pixel": ((1, 16, 1, 1), 16, {"pads": (1, 1, 1, 1)}),
    "no tile fits": ((2, 21, 13, 7), 37, {"pads": (1, 1, 1, 1)}),
    "no pads": ((1, 19, 9, 11), 17, {}),
    "uneven pads": ((1, 17, 6, 5), 5, {"pads": (2, 0, 1, 1)}),
    "one channel": ((1, 1, 8, 8), 3, {"pads": (1, 1, 1, 1)}),
    "halos in and out": ((1, 33, 7, 9), 40, {"pads": (1, 1, 1, 1), "margin": (1, 0, 2, 3), "halo": (1, 0, 2, 1)}),
    "wide": ((1, 16, 3, 61), 16, {"pads": (1, 1, 1, 1)}),
    "stride": ((2, 21, 13, 17), 37, {"pads": (1, 1, 1, 1), "strides": (2, 2)}),
    "stride without pads": ((1, 5, 9, 12), 17, {"strides": (2, 2)}),
    "stride along one axis": ((1, 19, 7, 10), 16, {"pads": (1, 0, 1, 2), "strides": (1, 2)}),
    "stride, halos in and out": (
        (1, 33, 6, 11),
        40,
        {"pads": (1, 1, 0, 1), "strides": (2, 2), "margin": (1, 0, 2, 3), "halo": (1, 0, 2, 1)},
    ),
    "stride, one pixel": ((1, 16, 1, 1), 16, {"pads": (1, 1, 1, 1), "strides": (2, 2)}),
}


def spread(workload: Workload, target: Target, count: int) -> list[Mapping[str, int]]:
    """`count` configs of the algorithm, spread over its space."""
    space = template_for(workload, target).space(workload, target)
    configs = [config for config in space if config[ALGORITHM] == WINOGRAD]
    return [configs[i * (len(configs) - 1) // max(1, count - 1)] for i in range(min(count, len(configs)))]


@pytest.mark.sweep
@pytest.mark.parametrize("name", SHAPES)
def test_computes_what_convolution_does(
    kernels: Any, target: Target, convolution: Callable[..., Workload], name: str
) -> None:
    data, channels, options = SHAPES[name]
    workload = convolution(data, channels, (3, 3), **options)
    kernels.unoptimized().check(workload, spread(workload, target, 6))


def test_epilogue_adds_bias_and_residual(kernels: Any, target: Target, convolution: Callable[..., Workload]) -> None:
    extra = (
        Tensor((1, 21, 1, 1), block=target.lanes("float32")),
        Tensor((2, 21, 7, 6), block=target.lanes("float32"), halo=(1, 0, 0, 2)),
    )
    epilogue = call("relu", call("add", call("add", ACC, Arg(2)), Arg(3)))
    options: dict[str, Any] = {"pads": (1,) * 4, "extra": extra, "epilogue": epilogue}
    workload = convolution((2, 19, 7, 6), 21, (3, 3), **options)
    kernels.unoptimized().check(workload, spread(workload, target, 3))


LINES: dict[str, tuple[int, int, int, dict[str, Any]]] = {
    # Pixels and channels of the data, channels of the output, options.
    "one tile": (6, 16, 16, {"kernel": (1, 3), "pads": (0, 1, 0, 1)}),
    "no tile fits": (61, 21, 37, {"kernel": (1, 3), "pads": (0, 1, 0, 1)}),
    "long": (331, 5, 17, {"kernel": (1, 2)}),
    "stride": (47, 19, 9, {"kernel": (1, 3), "strides": (1, 2)}),
    "stride and uneven pads": (30, 16, 33, {"kernel": (1, 5), "strides": (1, 2), "pads": (0, 3, 0, 0)}),
    "large stride": (101, 3, 5, {"kernel": (1, 10), "strides": (1, 5), "pads": (0, 2, 0, 1)}),
    "halos in and out": (23, 17, 5, {"kernel": (1, 4), "margin": (0, 2, 0, 1), "halo": (0, 3, 0, 2)}),
}


@pytest.mark.sweep
@pytest.mark.parametrize("name", LINES)
def test_lines(kernels: Any, target: Target, convolution: Callable[..., Workload], name: str) -> None:
    pixels, inputs, channels, options = LINES[name]
    workload = convolution((2, inputs, 1, pixels), channels, **options)
    kernels.unoptimized().check(workload, spread(workload, target, 6))


def test_epilogue_along_a_line(kernels: Any, target: Target, convolution: Callable[..., Workload]) -> None:
    """A function of several results at once, a bias, and a map with a halo."""
    extra = (
        Tensor((1, 21, 1, 1), block=target.lanes("float32")),
        Tensor((2, 21, 1, 45), block=target.lanes("float32"), halo=(0, 1, 0, 2)),
    )
    epilogue = call("tanh", call("add", call("add", ACC, Arg(2)), Arg(3)))
    workload = convolution((2, 19, 1, 47), 21, (1, 3), extra=extra, epilogue=epilogue)
    kernels.check(workload, spread(workload, target, 3))


TRANSPOSED: dict[str, tuple[tuple[int, int, int, int], int, dict[str, Any]]] = {
    "four taps": ((1, 19, 5, 7), 21, {"kernel": (4, 4), "strides": (2, 2), "pads": (1, 1), "size": (10, 14)}),
    "phases of several sizes": ((2, 17, 5, 4), 18, {"kernel": (3, 5), "strides": (2, 3), "size": (11, 13)}),
    "one axis": ((1, 16, 3, 9), 5, {"kernel": (1, 5), "strides": (1, 2), "pads": (0, 2)}),
    "a line": ((1, 23, 1, 11), 3, {"kernel": (1, 16), "strides": (1, 8), "pads": (0, 4)}),
    "into a halo": (
        (1, 6, 3, 5),
        33,
        {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1), "size": (5, 9), "halo": (1, 2, 3, 1)},
    ),
    "one pixel": ((1, 5, 1, 1), 4, {"kernel": (4, 4), "strides": (2, 2), "pads": (1, 1), "size": (2, 2)}),
}


@pytest.mark.sweep
@pytest.mark.parametrize("name", TRANSPOSED)
def test_transposed(kernels: Any, target: Target, inputs_of: Callable[..., Any], name: str) -> None:
    data, channels, options = TRANSPOSED[name]
    workload = transposed(target.lanes("float32"), data, channels, **options)
    arrays = inputs_of(workload)
    configs = spread(workload, target, 5)
    assert configs
    kernels.unoptimized().check(workload, configs, arrays, transposed_by_torch(workload, arrays))


VOLUMES = {
    "padding all round": Volume((2, 5, 4, 6, 7), 9, (3, 3, 3), pads=(1, 1, 1)),
    "one plane": Volume((2, 19, 1, 5, 4), 4, (3, 3, 3), pads=(1, 1, 1)),
    "two planes": Volume((1, 16, 3, 5, 4), 17, (2, 3, 3), (2, 1, 1), (2, 1, 1), (0, 0, 1)),
    "planes of padding alone": Volume((1, 5, 2, 3, 3), 4, (2, 3, 3), pads=(3, 1, 1)),
    "stride": Volume((1, 19, 3, 7, 10), 17, (3, 3, 3), (2, 2, 2), pads=(1, 1, 1)),
}


@pytest.mark.sweep
@pytest.mark.parametrize("name", VOLUMES)
def test_volumes(kernels: Any, target: Target, inputs_of: Callable[..., Any], name: str) -> None:
    workload = VOLUMES[name].workload(target.lanes("float32"))
    arrays = inputs_of(workload)
    configs = spread(workload, target, 5)
    assert configs
    kernels.unoptimized().check(workload, configs, arrays, VOLUMES[name].torch_result(workload, arrays))


@pytest.mark.sweep
@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("channels", [16, 512])
def test_is_exact_enough(
    kernels: Any, inputs_of: Any, target: Target, convolution: Callable[..., Workload], tile: int, channels: int
) -> None:
    workload = convolution((1, channels, 12, 12), 32, (3, 3), pads=(1, 1, 1, 1))
    space = template_for(workload, target).space(workload, target)
    config = next(config for config in space if config[ALGORITHM] == WINOGRAD and config["tile"] == tile)
    # Activations after a ReLU: their mean is not zero, and its rounding errors add up.
    arrays = [np.abs(inputs_of(workload)[0]), inputs_of(workload)[1]]
    (memory,) = kernels.run(workload, arrays, [config])
    exact = exact_convolution(arrays[0], arrays[1])
    assert np.abs(workload.output.restore(memory) - exact).max() <= ERROR_LIMIT / 10 * np.abs(exact).max()


def exact_convolution(data: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """3×3, padded by one, in double precision."""
    padded = np.pad(data.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.einsum("ncyxij,ocij->noyx", windows, weight.astype(np.float64), optimize=True)


@pytest.mark.parametrize(
    "options", [{"strides": (3, 3)}, {"dilations": (2, 2)}, {"groups": 2}, {"block": 1}], ids=lambda o: next(iter(o))
)
def test_refuses_what_it_cannot_do(convolution: Callable[..., Workload], target: Target, options: Any) -> None:
    channels = 2 * target.lanes("float32")
    workload = convolution((1, channels, 8, 8), channels, (3, 3), pads=(1,) * 4, **options)
    assert not Winograd().accepts(workload, target)
    assert not Winograd().accepts(convolution((1, 16, 8, 8), 16, (5, 5), pads=(2,) * 4), target)
    assert not Winograd().accepts(convolution((1, 16, 8, 8), 16, (1, 3)), target)
    assert not Winograd().accepts(convolution((1, 16, 1, 8), 16, (1, 2), strides=(1, 2)), target)
    assert not Winograd().accepts(convolution((1, 16, 1, 30), 16, (1, 9)), target)
    assert not Winograd("conv3d").accepts(convolution((1, 16, 8, 8), 16, (3, 3), pads=(1,) * 4), target)
    assert Winograd().accepts(convolution((1, 16, 8, 8), 16, (3, 3), pads=(1,) * 4), target)


@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
def test_default_is_winograd_where_it_saves_most(
    convolution: Callable[..., Workload], target: Target, strides: tuple[int, int]
) -> None:
    workload = convolution((1, 64, 56, 56), 64, (3, 3), pads=(1,) * 4, strides=strides)
    template = template_for(workload, target)
    config = template.default(workload, target)
    assert config[ALGORITHM] == WINOGRAD
    assert template.space(workload, target).contains(config)
