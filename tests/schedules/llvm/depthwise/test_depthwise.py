from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.expression import ACC, Arg, Const, call
from tvmopt.schedules.llvm.depthwise.depthwise import DepthwiseConv2d
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

SHAPES: dict[str, tuple[tuple[int, int, int, int], dict[str, Any]]] = {
    "3x3": ((1, 19, 11, 7), {"kernel": (3, 3), "pads": (1,) * 4}),
    "3x3 strided, batch of two": ((2, 32, 13, 13), {"kernel": (3, 3), "pads": (1,) * 4, "strides": (2, 2)}),
    "pads at the end only": ((1, 40, 12, 12), {"kernel": (3, 3), "pads": (0, 0, 1, 1), "strides": (2, 2)}),
    "5x5": ((1, 17, 9, 9), {"kernel": (5, 5), "pads": (2,) * 4}),
    "dilated": ((1, 5, 11, 12), {"kernel": (3, 2), "pads": (2, 1, 2, 1), "dilations": (2, 3)}),
    "uneven strides": ((1, 33, 10, 17), {"kernel": (1, 3), "pads": (0, 1, 0, 1), "strides": (1, 3)}),
    "1x1": ((2, 7, 3, 5), {"kernel": (1, 1)}),
    "one pixel": ((1, 21, 1, 1), {"kernel": (3, 3), "pads": (1,) * 4}),
    "halos in and out": (
        (1, 19, 7, 5),
        {"kernel": (3, 3), "pads": (1,) * 4, "margin": (1, 0, 2, 3), "halo": (1, 0, 2, 1)},
    ),
}


@pytest.mark.sweep
@pytest.mark.parametrize("name", SHAPES)
def test_computes_what_torch_does(
    kernels: Any, inputs_of: Any, convolution: Callable[..., Workload], name: str
) -> None:
    import torch

    data, options = SHAPES[name]
    workload = convolution(data, data[1], groups=data[1], **options)
    arrays = inputs_of(workload)
    top, left, bottom, right = workload.attr("pads")
    padded = torch.nn.functional.pad(torch.from_numpy(arrays[0]), (left, right, top, bottom))
    expected = torch.nn.functional.conv2d(
        padded,
        torch.from_numpy(arrays[1]),
        stride=workload.attr("strides"),
        dilation=workload.attr("dilations"),
        groups=data[1],
    )
    kernels.check(workload, 0, arrays, expected.numpy())


@pytest.mark.parametrize("name", ["3x3", "5x5", "uneven strides"])
def test_every_corner_of_the_space(kernels: Any, convolution: Callable[..., Workload], name: str) -> None:
    data, options = SHAPES[name]
    kernels.unoptimized().check(convolution(data, data[1], groups=data[1], **options), 12)


def test_epilogue_has_bias_residual_and_bounds(
    kernels: Any, target: Target, convolution: Callable[..., Workload]
) -> None:
    extra = (
        Tensor((1, 19, 1, 1), block=target.lanes("float32")),
        Tensor((2, 19, 7, 5), block=target.lanes("float32"), halo=(0, 1, 2, 0)),
    )
    summed = call("add", call("add", ACC, Arg(2)), Arg(3))
    epilogue = call("clip", summed, Const(0.0), Const(6.0))
    options = {"kernel": (3, 3), "pads": (1,) * 4, "groups": 19, "extra": extra, "epilogue": epilogue}
    kernels.check(convolution((2, 19, 7, 5), 19, **options))


def test_plain_data_is_refused(convolution: Callable[..., Workload], target: Target) -> None:
    assert not DepthwiseConv2d().accepts(convolution((1, 19, 5, 5), 19, groups=19, block=1), target)
    assert DepthwiseConv2d().accepts(convolution((1, 19, 5, 5), 19, groups=19), target)


def test_packing_keeps_every_weight_once(convolution: Callable[..., Workload], target: Target) -> None:
    workload = convolution((1, 19, 5, 5), 19, (3, 3), groups=19)
    weight = np.arange(1, 19 * 9 + 1, dtype=np.float32).reshape(19, 1, 3, 3)
    template = DepthwiseConv2d()
    config = template.default(workload, target)
    packed = template.pack(workload, target, config, 1, weight)
    assert packed.shape == template.packed(workload, target, config)[1]
    assert np.array_equal(np.sort(packed[packed != 0]), np.sort(weight.ravel()))
