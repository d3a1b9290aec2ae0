"""Convolutions to few output channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.llvm.convolution.conv2d import Convolution
from tvmopt.schedules.llvm.convolution.narrow import NarrowConv2d
from tvmopt.schedules.registry import algorithm_of
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Tensor, Workload

PLACE = next(i for i, algorithm in enumerate(Convolution.algorithms) if algorithm.name == "narrow")

CASES = {
    "one channel of one pixel": ((1, 19, 1, 1), 1, {}),
    "1×1": ((2, 35, 5, 7), 2, {}),
    "5×5": ((1, 56, 6, 9), 2, {"kernel": (5, 5), "pads": (2, 2, 2, 2)}),
    "a stride and a dilation": ((2, 8, 9, 11), 1, {"kernel": (3, 2), "strides": (2, 3), "dilations": (1, 3)}),
    "a line": ((2, 21, 1, 31), 2, {"kernel": (1, 4), "pads": (0, 3, 0, 0)}),
    "halos": ((1, 17, 4, 5), 2, {"kernel": (3, 3), "pads": (1, 0, 1, 2), "margin": (1, 0, 2, 1), "halo": (1, 2, 0, 1)}),
    "a line with halos": ((1, 17, 1, 9), 1, {"kernel": (1, 3), "pads": (0, 1, 0, 1), "halo": (1, 2, 0, 1)}),
}


def narrow(workload: Workload, target: Target) -> list[Config]:
    """All configs of the algorithm."""
    space = Convolution().space(workload, target)
    return [space.whole(PLACE, config) for config in NarrowConv2d().space(workload, target)]


@pytest.mark.parametrize("name", CASES)
def test_matches_numpy(
    kernels: Any, inputs_of: Any, target: Target, convolution: Callable[..., Workload], name: str
) -> None:
    data, channels, options = CASES[name]
    plain = convolution(data, channels, **options)
    residual = Tensor(plain.output.shape, block=target.lanes("float32"), halo=(0, 1, 0, 0))
    epilogue = call("sigmoid", call("add", ACC, Arg(2)))
    workload = convolution(data, channels, **options, extra=(residual,), epilogue=epilogue)
    configs = narrow(workload, target)
    assert configs
    kernels.unoptimized().check(workload, configs, inputs_of(workload))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 7, 8])
def test_any_number_of_channels(host: Any, inputs_of: Any, wide: Callable[..., Workload], channels: int) -> None:
    lanes = host.target.lanes("float32")
    workload = wide(lanes, (1, 3 * lanes + 1, 3, 8), min(channels, lanes // 2), (2, 2))
    host.unoptimized().check(workload, narrow(workload, host.target), inputs_of(workload))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_absent_channels_hold_does_not_matter(host: Any, wide: Callable[..., Workload], value: float) -> None:
    """The kernel before may leave there what its epilogue makes of zero, which a weight of zero does not hide."""
    import tvm

    from tvmopt.pipeline.compiler.build import kernel_library

    target = parse_target("llvm", 1)
    lanes = target.lanes("float32")
    workload = wide(lanes, (1, lanes + 3, 2, 5), 2, (1, 3))
    data, weight = (np.ones(tensor.shape, np.float32) for tensor in workload.inputs)
    memory = np.full(workload.inputs[0].physical_shape, value, np.float32)
    memory[:, 0], memory[:, 1, ..., :3] = 1, 1
    template, algorithm = Convolution(), NarrowConv2d()
    config = algorithm.default(workload, target)
    packed = algorithm.pack(workload, target, config, 1, weight)
    function = template.build(workload, target, template.space(workload, target).whole(PLACE, config))
    library = kernel_library({"kernel": function}, target).mod
    output = tvm.runtime.tensor(np.full(workload.output.physical_shape, np.nan, np.float32))
    library["kernel"](tvm.runtime.tensor(memory), tvm.runtime.tensor(packed), output)
    assert data.shape[1] == lanes + 3
    np.testing.assert_array_equal(workload.output.restore(output.numpy()), np.float32(3 * (lanes + 3)))


def test_values_that_are_not_finite_reach_only_their_windows(host: Any, wide: Callable[..., Workload]) -> None:
    lanes = host.target.lanes("float32")
    workload = wide(lanes, (1, 2 * lanes, 4, 12), 2, (3, 3), pads=(1, 1, 1, 1))
    random = np.random.default_rng(0)
    data, weight = (random.standard_normal(tensor.shape).astype(np.float32) for tensor in workload.inputs)
    data[0, 5, 1, 7] = np.nan
    (memory,) = host.unoptimized().run(workload, [data, weight], narrow(workload, host.target)[-1:])
    missing = np.isnan(workload.output.restore(memory))
    expected = np.zeros_like(missing)
    expected[:, :, 0:3, 6:9] = True
    np.testing.assert_array_equal(missing, expected)


def test_it_wins_where_channels_are_few(wide: Callable[..., Workload]) -> None:
    for name, most in (("x86-64-v4", 8), ("x86-64-v3", 4)):
        target = parse_target(name, 1)
        lanes = target.lanes("float32")
        for channels, expected in ((1, "narrow"), (most // 2, "narrow"), (most + 1, "direct"), (2 * most, "direct")):
            workload = wide(lanes, (1, 64, 40, 40), channels, (5, 5), pads=(2, 2, 2, 2))
            config = Convolution().default(workload, target)
            assert algorithm_of(Convolution(), workload, target, config)[0] == expected, (name, channels)


@pytest.mark.parametrize(
    ("data", "channels", "expected"),
    [
        ((1, 64, 64, 64), 8, "narrow"),
        ((1, 32, 128, 128), 8, "narrow"),
        ((1, 64, 1, 3000), 16, "direct"),
        ((1, 16, 128, 128), 16, "winograd"),
        ((1, 64, 64, 64), 32, "winograd"),
    ],
)
def test_winograds_patches_count_where_a_single_vector_is_made_of_them(
    wide: Callable[..., Workload], data: tuple[int, int, int, int], channels: int, expected: str
) -> None:
    """What is expected was the fastest algorithm on AVX-512."""
    target, line = parse_target("x86-64-v4", 1), data[2] == 1
    kernel, pads = ((1, 3), (0, 1, 0, 1)) if line else ((3, 3), (1, 1, 1, 1))
    workload = wide(target.lanes("float32"), data, channels, kernel, pads=pads)
    config = Convolution().default(workload, target)
    assert algorithm_of(Convolution(), workload, target, config)[0] == expected
