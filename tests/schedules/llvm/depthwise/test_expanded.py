from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.expression import ACC, Arg, Const, call
from tvmopt.schedules.llvm.depthwise.expanded import SCRATCH_SHARE, ExpandedConv2d, _scratch_bytes
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Tensor, Workload

Shape = tuple[tuple[int, int, int, int], int, dict[str, Any]]
SHAPES: dict[str, Shape] = {
    "3x3": ((1, 19, 11, 7), 23, {"pads": (1,) * 4}),
    "3x3 strided, batch of two": ((2, 8, 13, 13), 40, {"pads": (1,) * 4, "strides": (2, 2)}),
    "pads at the end only": ((1, 17, 12, 12), 40, {"pads": (0, 0, 1, 1), "strides": (2, 2)}),
    "5x5": ((1, 17, 9, 9), 48, {"kernel": (5, 5), "pads": (2,) * 4}),
    "dilated": ((1, 3, 11, 12), 5, {"kernel": (3, 2), "pads": (2, 1, 2, 1), "dilations": (2, 3)}),
    "uneven strides": ((1, 31, 10, 17), 33, {"kernel": (1, 3), "pads": (0, 1, 0, 1), "strides": (1, 3)}),
    "one pixel": ((1, 9, 1, 1), 21, {"pads": (1,) * 4}),
    "one channel in": ((1, 1, 5, 7), 2, {"pads": (1,) * 4}),
    "rows that nothing reads": ((1, 8, 9, 10), 12, {"kernel": (1, 1), "strides": (3, 3)}),
    "windows beside the map": ((1, 5, 3, 3), 9, {"pads": (3, 3, 3, 3)}),
    "halos in and out": ((2, 21, 7, 5), 19, {"pads": (1,) * 4, "margin": (1, 0, 2, 3), "halo": (1, 0, 2, 1)}),
}


def with_torch(workload: Workload, arrays: list[np.ndarray]) -> np.ndarray:
    """The layer with ReLU between the two convolutions."""
    import torch

    top, left, bottom, right = workload.attr("pads")
    image, depthwise, pointwise = (torch.from_numpy(array) for array in arrays)
    wide = torch.relu(torch.nn.functional.conv2d(image, pointwise))
    made = torch.nn.functional.conv2d(
        torch.nn.functional.pad(wide, (left, right, top, bottom)),
        depthwise,
        stride=workload.attr("strides"),
        dilation=workload.attr("dilations"),
        groups=depthwise.shape[0],
    )
    return made.numpy()


@pytest.mark.sweep
@pytest.mark.parametrize("name", SHAPES)
def test_computes_what_torch_does(kernels: Any, inputs_of: Any, expanded: Callable[..., Workload], name: str) -> None:
    data, channels, options = SHAPES[name]
    workload = expanded(data, channels, inner=call("relu", ACC), **options)
    arrays = inputs_of(workload)
    kernels.check(workload, 0, arrays, with_torch(workload, arrays))


@pytest.mark.parametrize("name", ["3x3", "3x3 strided, batch of two", "halos in and out", "windows beside the map"])
def test_every_corner_of_the_space(kernels: Any, expanded: Callable[..., Workload], name: str) -> None:
    data, channels, options = SHAPES[name]
    kernels.unoptimized().check(expanded(data, channels, **options), 12)


def test_around_the_map_there_are_zeros(kernels: Any, expanded: Callable[..., Workload]) -> None:
    """Not what the first epilogue makes of zeros."""
    inner = call("add", ACC, Const(3.0))
    kernels.check(expanded((1, 9, 7, 6), 19, pads=(1, 2, 2, 1), inner=inner, kernel=(4, 4)), 3)


def test_infinity_stays_in_its_windows(
    kernels: Any, target: Target, inputs_of: Any, expanded: Callable[..., Workload]
) -> None:
    """With positive weights, and without absent channels: nothing becomes NaN."""
    workload = expanded((1, 9, 12, 11), 2 * target.lanes("float32"), pads=(1,) * 4, strides=(2, 2))
    arrays = [np.abs(array) for array in inputs_of(workload)]
    arrays[0][0, 3, 0, 0] = arrays[0][0, 8, 5, 10] = np.inf
    expected = with_torch(workload, arrays)
    assert 0 < np.isinf(expected[0, 0]).sum() < 6
    kernels.check(workload, 0, arrays, expected)


@pytest.mark.parametrize("halo", [(0, 0, 0, 0), (1, 1, 1, 1)])
def test_both_epilogues_have_operands(
    kernels: Any, target: Target, expanded: Callable[..., Workload], halo: tuple[int, int, int, int]
) -> None:
    """A bias and a map between them; a bias and a residual after them."""
    lanes = target.lanes("float32")
    extra = (
        Tensor((1, 23, 1, 1), block=lanes),
        Tensor((2, 23, 7, 5), block=lanes),
        Tensor((1, 23, 1, 1), block=lanes),
        Tensor((2, 23, 4, 3), block=lanes, halo=halo),
    )
    inner = call("clip", call("add", call("add", ACC, Arg(3)), Arg(4)), Const(0.0), Const(6.0))
    epilogue = call("sigmoid", call("add", call("add", ACC, Arg(5)), Arg(6)))
    options = {"pads": (1,) * 4, "strides": (2, 2), "extra": extra}
    kernels.check(expanded((2, 11, 7, 5), 23, inner=inner, epilogue=epilogue, **options), 3)


def test_plain_data_is_refused(expanded: Callable[..., Workload], target: Target) -> None:
    workload = expanded((1, 8, 5, 5), 19)
    assert ExpandedConv2d().accepts(workload, target)
    plain = Tensor((1, 8, 5, 5))
    other = Workload(workload.op, (plain, *workload.inputs[1:]), workload.output, workload.attrs)
    assert not ExpandedConv2d().accepts(other, target)


def test_packing_keeps_every_weight_once(expanded: Callable[..., Workload], target: Target) -> None:
    workload = expanded((1, 19, 5, 5), 37)
    template, random = ExpandedConv2d(), np.random.default_rng(0)
    config = template.default(workload, target)
    for index, shape in template.packed(workload, target, config).items():
        weights = random.permutation(workload.inputs[index].elements).astype(np.float32) + 1
        packed = template.pack(workload, target, config, index, weights.reshape(workload.inputs[index].shape))
        assert packed.shape == shape
        assert sorted(packed[packed != 0].tolist()) == sorted(weights.tolist())


def test_operations_of_both_convolutions_count(expanded: Callable[..., Workload]) -> None:
    workload = expanded((1, 19, 7, 5), 23, pads=(1,) * 4, strides=(2, 2))
    assert ExpandedConv2d().flops(workload) == 2 * (7 * 5 * 19 * 23 + 4 * 3 * 23 * 9)


@pytest.mark.parametrize("isa", ["x86-64-v3", "x86-64-v4"])
def test_the_default_keeps_to_the_cache(wide_expanded: Callable[..., Workload], isa: str) -> None:
    target = parse_target(isa, 1)
    workload = wide_expanded(target.lanes("float32"), (1, 16, 160, 160), 96, pads=(1,) * 4, strides=(2, 2))
    config = ExpandedConv2d().default(workload, target)
    scratch = _scratch_bytes(workload, target, config["rows"], config["vectors"])
    assert scratch <= SCRATCH_SHARE * target.l2_bytes
    assert config["rows"] >= 4  # few rows are computed twice
