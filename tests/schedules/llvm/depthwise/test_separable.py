from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.expression import ACC, Arg, Const, call
from tvmopt.schedules.llvm.depthwise.separable import PREFETCH, SeparableConv2d
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Tensor, Workload

Shape = tuple[tuple[int, int, int, int], int, dict[str, Any]]
SHAPES: dict[str, Shape] = {
    "3x3": ((1, 19, 11, 7), 23, {"pads": (1,) * 4}),
    "3x3 strided, batch of two": ((2, 32, 13, 13), 8, {"pads": (1,) * 4, "strides": (2, 2)}),
    "pads at the end only": ((1, 40, 12, 12), 17, {"pads": (0, 0, 1, 1), "strides": (2, 2)}),
    "5x5": ((1, 17, 9, 9), 48, {"kernel": (5, 5), "pads": (2,) * 4}),
    "dilated": ((1, 5, 11, 12), 3, {"kernel": (3, 2), "pads": (2, 1, 2, 1), "dilations": (2, 3)}),
    "uneven strides": ((1, 33, 10, 17), 31, {"kernel": (1, 3), "pads": (0, 1, 0, 1), "strides": (1, 3)}),
    "one pixel": ((1, 21, 1, 1), 9, {"pads": (1,) * 4}),
    "one channel out": ((1, 2, 5, 7), 1, {"pads": (1,) * 4}),
    "halos in and out": ((2, 19, 7, 5), 21, {"pads": (1,) * 4, "margin": (1, 0, 2, 3), "halo": (1, 0, 2, 1)}),
}


@pytest.mark.sweep
@pytest.mark.parametrize("name", SHAPES)
def test_computes_what_torch_does(kernels: Any, inputs_of: Any, separable: Callable[..., Workload], name: str) -> None:
    import torch

    data, channels, options = SHAPES[name]
    workload = separable(data, channels, inner=call("relu", ACC), **options)
    arrays = inputs_of(workload)
    top, left, bottom, right = workload.attr("pads")
    image, depthwise, pointwise = (torch.from_numpy(array) for array in arrays)
    middle = torch.nn.functional.conv2d(
        torch.nn.functional.pad(image, (left, right, top, bottom)),
        depthwise,
        stride=workload.attr("strides"),
        dilation=workload.attr("dilations"),
        groups=data[1],
    )
    expected = torch.nn.functional.conv2d(torch.relu(middle), pointwise)
    kernels.check(workload, 0, arrays, expected.numpy())


@pytest.mark.parametrize("name", ["3x3", "5x5", "halos in and out"])
def test_every_corner_of_the_space(kernels: Any, separable: Callable[..., Workload], name: str) -> None:
    data, channels, options = SHAPES[name]
    kernels.unoptimized().check(separable(data, channels, **options), 12)


@pytest.mark.parametrize("halo", [(0, 0, 0, 0), (1, 1, 1, 1)])
def test_both_epilogues_have_operands(
    kernels: Any, target: Target, separable: Callable[..., Workload], halo: tuple[int, int, int, int]
) -> None:
    """A bias between them; a bias and a residual after them."""
    lanes = target.lanes("float32")
    extra = (
        Tensor((1, 19, 1, 1), block=lanes),
        Tensor((1, 23, 1, 1), block=lanes),
        Tensor((2, 23, 7, 5), block=lanes, halo=halo),
    )
    inner = call("clip", call("add", ACC, Arg(3)), Const(0.0), Const(6.0))
    epilogue = call("hard_swish", call("add", call("add", ACC, Arg(4)), Arg(5)))
    kernels.check(separable((2, 19, 7, 5), 23, pads=(1,) * 4, extra=extra, inner=inner, epilogue=epilogue), 3)


def test_a_map_may_join_before_the_product(kernels: Any, target: Target, separable: Callable[..., Workload]) -> None:
    """It has the depthwise convolution's channels, and is read by row and column even if the output is one row."""
    extra = (Tensor((1, 19, 7, 5), block=target.lanes("float32")),)
    kernels.check(separable((1, 19, 7, 5), 23, pads=(1,) * 4, extra=extra, inner=call("add", ACC, Arg(3))), 3)


def test_plain_data_is_refused(separable: Callable[..., Workload], target: Target) -> None:
    assert not SeparableConv2d().accepts(separable((1, 19, 5, 5), 8, block=1), target)
    assert SeparableConv2d().accepts(separable((1, 19, 5, 5), 8), target)


def test_packing_keeps_every_weight_once(separable: Callable[..., Workload], target: Target) -> None:
    workload = separable((1, 19, 5, 5), 37)
    template = SeparableConv2d()
    for config in list(template.space(workload, target))[::50]:
        for index in (1, 2):
            shape = workload.inputs[index].shape
            weight = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)
            packed = template.pack(workload, target, config, index, weight)
            assert packed.shape == template.packed(workload, target, config)[index]
            assert np.array_equal(np.sort(packed[packed != 0]), weight.ravel())


def test_operations_of_both_convolutions_count(separable: Callable[..., Workload]) -> None:
    workload = separable((1, 19, 7, 5), 23, pads=(1,) * 4)
    assert SeparableConv2d().flops(workload) == 2 * 7 * 5 * (19 * 9 + 19 * 23)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_default_keeps_to_the_caches(wide_separable: Callable[..., Workload], threads: int) -> None:
    """A task's rows fit half of the second-level cache, and every thread gets a task."""
    target, template = parse_target("x86-64-v3", threads), SeparableConv2d()
    workload = wide_separable(target.lanes("float32"), (1, 144, 56, 56), 24, pads=(1,) * 4)
    config = template.default(workload, target)
    assert template.space(workload, target).contains(config)
    assert 2 * config["rows"] * 56 * 144 * 4 <= target.l2_bytes
    assert -(-56 // config["rows"]) >= threads


def test_weights_that_stay_in_l1_are_not_prefetched(wide_separable: Callable[..., Workload]) -> None:
    target, template = parse_target("x86-64-v3", 1), SeparableConv2d()
    few, many = (wide_separable(target.lanes("float32"), (1, c, 14, 14), 64, pads=(1,) * 4) for c in (32, 960))
    assert template.default(few, target)["prefetch"] == PREFETCH[0]
    assert template.default(many, target)["prefetch"] == PREFETCH[-1]


def test_tiles_cross_rows_without_a_halo(wide_separable: Callable[..., Workload]) -> None:
    """Without a halo, tiles of pixels need not end at the end of a row."""
    target, template = parse_target("x86-64-v3", 1), SeparableConv2d()
    for halo, columns in (((0, 0, 0, 0), 49), ((0, 1, 0, 0), 7)):
        workload = wide_separable(target.lanes("float32"), (1, 16, 7, 7), 16, pads=(1,) * 4, halo=halo)
        (pixels,) = (knob.values for knob in template.space(workload, target).knobs if knob.name == "pixels")
        assert max(pixels) <= min(columns, target.registers)
        assert (8 in pixels) == (columns > 7)
