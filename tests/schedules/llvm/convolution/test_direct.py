from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.expression import ACC, Arg, Expr, call
from tvmopt.schedules.llvm.convolution.direct import DirectConv2d
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Tensor, Workload

BIAS_RELU: Expr = call("relu", call("add", ACC, Arg(2)))
FULL = call("relu", call("add", call("add", ACC, Arg(2)), Arg(3)))

# Sizes are prime or odd on purpose: every tile has a tail, and so have the channels.
SHAPES: dict[str, tuple[tuple[int, int, int, int], int, dict[str, Any]]] = {
    "one of everything": ((1, 1, 1, 1), 1, {}),
    "3x3": ((1, 19, 11, 7), 37, {"kernel": (3, 3), "pads": (1, 1, 1, 1)}),
    "1x1 flat": ((2, 23, 5, 7), 41, {}),
    "1x1 from one channel": ((1, 1, 13, 3), 5, {}),
    "1x1 on one pixel": ((1, 48, 1, 1), 130, {}),
    "1x1 strided": ((2, 17, 9, 11), 29, {"strides": (2, 2)}),
    "1x1 out of a halo": ((1, 17, 7, 7), 33, {"margin": (1, 2, 0, 3)}),
    "1x1 into a halo": ((1, 17, 7, 7), 33, {"halo": (0, 2, 1, 1)}),
    "first layer": ((1, 3, 17, 13), 10, {"kernel": (3, 3), "pads": (1,) * 4, "strides": (2, 2), "block": 1}),
    "7x7 first layer": ((1, 3, 23, 23), 16, {"kernel": (7, 7), "pads": (3,) * 4, "strides": (2, 2), "block": 1}),
    "plain data of five channels": ((2, 5, 8, 9), 24, {"kernel": (5, 5), "dilations": (1, 2), "block": 1}),
    "uneven pads, strides, dilations": (
        (1, 13, 12, 17),
        31,
        {"kernel": (2, 3), "pads": (1, 0, 0, 2), "strides": (1, 3), "dilations": (3, 2)},
    ),
    "rows only": ((1, 16, 19, 5), 16, {"kernel": (7, 1), "pads": (3, 0, 3, 0)}),
    "columns only": ((1, 16, 5, 19), 16, {"kernel": (1, 7), "pads": (0, 3, 0, 3)}),
    "two groups": ((2, 64, 7, 5), 96, {"kernel": (3, 3), "pads": (1,) * 4, "groups": 2}),
    "many groups": ((1, 128, 3, 3), 64, {"kernel": (3, 3), "pads": (1,) * 4, "groups": 4}),
    "wide halos in and out": (
        (1, 19, 6, 9),
        21,
        {"kernel": (3, 3), "pads": (1, 1, 1, 1), "margin": (2, 0, 1, 3), "halo": (2, 1, 3, 2)},
    ),
    "taps that read only padding": (
        (2, 19, 11, 9),
        21,
        {"kernel": (3, 3), "pads": (6, 5, 6, 5), "dilations": (6, 5), "halo": (1, 1, 0, 1)},
    ),
    "taps that read only padding of plain data": (
        (1, 3, 11, 23),
        7,
        {"kernel": (4, 2), "pads": (6, 7, 9, 7), "dilations": (5, 14), "strides": (2, 1), "block": 1},
    ),
    "one row": ((2, 19, 1, 37), 37, {"kernel": (1, 3), "pads": (0, 1, 0, 1), "halo": (0, 2, 0, 1)}),
    "one row of a causal network": ((1, 16, 1, 29), 21, {"kernel": (1, 3), "pads": (0, 8, 0, 0), "dilations": (1, 4)}),
    "one row, strided, into a wide halo": (
        (1, 1, 1, 83),
        23,
        {"kernel": (1, 10), "strides": (1, 5), "block": 1, "halo": (1, 3, 2, 1)},
    ),
    "one row out of three": ((1, 17, 3, 7), 19, {"kernel": (3, 2), "halo": (1, 1, 1, 1)}),
    "window larger than the map": ((1, 7, 2, 3), 9, {"kernel": (5, 5), "pads": (2, 2, 2, 2)}),
}


def torch_convolution(workload: Workload, arrays: list[np.ndarray]) -> np.ndarray:
    import torch

    top, left, bottom, right = workload.attr("pads")
    data = torch.nn.functional.pad(torch.from_numpy(arrays[0]), (left, right, top, bottom))
    attrs = {name: workload.attr(attr) for name, attr in (("stride", "strides"), ("dilation", "dilations"))}
    return torch.nn.functional.conv2d(
        data, torch.from_numpy(arrays[1]), groups=workload.attr("groups"), **attrs
    ).numpy()


@pytest.mark.sweep
@pytest.mark.parametrize("name", SHAPES)
def test_computes_what_torch_does(
    kernels: Any, inputs_of: Any, convolution: Callable[..., Workload], name: str
) -> None:
    data, channels, options = SHAPES[name]
    workload = convolution(data, channels, **options)
    arrays = inputs_of(workload)
    kernels.check(workload, 0, arrays, torch_convolution(workload, arrays))


@pytest.mark.parametrize("flat", [True, False])
def test_epilogue_adds_bias_and_residual(
    kernels: Any, inputs_of: Any, target: Target, convolution: Callable[..., Workload], flat: bool
) -> None:
    block = target.lanes("float32")
    residual = Tensor((2, 21, 5, 7), block=block, halo=(0, 0, 0, 0) if flat else (1, 1, 2, 0))
    extra = (Tensor((1, 21, 1, 1), block=block), residual)
    workload = convolution((2, 19, 5, 7), 21, extra=extra, epilogue=FULL)
    arrays = inputs_of(workload)
    expected = np.maximum(torch_convolution(workload, arrays) + arrays[2] + arrays[3], 0)
    kernels.check(workload, 2, arrays, expected)


@pytest.mark.sweep
@pytest.mark.parametrize(
    "operand",
    [
        Tensor((1,)),
        Tensor((1, 1, 1, 1)),
        Tensor((2, 1, 1, 1)),
        Tensor((1, 1, 5, 7)),
        Tensor((1, 1, 5, 1), halo=(1, 1, 1, 1)),
        Tensor((2, 1, 1, 7)),
    ],
    ids=lambda tensor: "x".join(map(str, tensor.shape)),
)
def test_epilogue_broadcasts_plain_operands(
    kernels: Any, convolution: Callable[..., Workload], operand: Tensor
) -> None:
    workload = convolution((2, 9, 5, 7), 21, extra=(operand,), epilogue=call("mul", ACC, Arg(2)))
    kernels.check(workload)


@pytest.mark.sweep
@pytest.mark.parametrize("shape", [(2, 21, 1, 1), (1, 21, 5, 7), (1, 21, 1, 7), (2, 21, 5, 1)])
def test_epilogue_broadcasts_blocked_operands(
    kernels: Any, target: Target, convolution: Callable[..., Workload], shape: tuple[int, ...]
) -> None:
    operand = Tensor(shape, block=target.lanes("float32"))
    workload = convolution((2, 9, 5, 7), 21, extra=(operand,), epilogue=call("mul", ACC, Arg(2)))
    kernels.check(workload)


def test_the_data_may_also_be_the_residual(kernels: Any, convolution: Callable[..., Workload]) -> None:
    workload = convolution((1, 16, 7, 7), 16, (3, 3), pads=(1, 1, 1, 1), epilogue=call("add", ACC, Arg(2)))
    workload = Workload(
        workload.op, (*workload.inputs, workload.inputs[0]), workload.output, workload.attrs, workload.epilogue
    )
    kernels.check(workload)


@pytest.mark.parametrize("name", ["3x3", "1x1 flat", "two groups"])
def test_every_corner_of_the_space(kernels: Any, convolution: Callable[..., Workload], name: str) -> None:
    data, channels, options = SHAPES[name]
    kernels.unoptimized().check(convolution(data, channels, **options), 12)


@pytest.mark.parametrize("text", ["x86-64-v4", "x86-64-v3", "aarch64", "armv7"])
@pytest.mark.parametrize("groups", [1, 3])
def test_there_is_a_default_for_every_size(wide: Callable[..., Workload], text: str, groups: int) -> None:
    target = parse_target(text, 2)
    sizes = [(1, 1), (1, 2), (2, 1), (1, 3), (3, 1), (2, 2), (1, 5), (7, 7), (1, 49), (112, 112)]
    for size, vectors, kernel in itertools.product(sizes, (1, 2, 3, 5, 6, 7, 8, 11, 40), (1, 3)):
        data, channels = (1, target.lanes("float32") * groups, *size), target.lanes("float32") * vectors * groups
        workload = wide(
            target.lanes("float32"), data, channels, (kernel, kernel), pads=(kernel // 2,) * 4, groups=groups
        )
        template = template_for(workload, target)
        config = template.default(workload, target)
        assert template.space(workload, target).contains(config)
        assert all(np.isfinite(template.features(workload, target, config)))


def test_groups_that_do_not_fill_blocks_are_refused(convolution: Callable[..., Workload], target: Target) -> None:
    assert not DirectConv2d().accepts(convolution((1, 12, 5, 5), 24, groups=2), target)
    assert DirectConv2d().accepts(
        convolution((1, 2 * target.lanes("float32"), 5, 5), 2 * target.lanes("float32"), groups=2), target
    )


def test_default_does_not_need_more_registers_than_there_are(
    convolution: Callable[..., Workload], target: Target
) -> None:
    workload = convolution((1, 64, 56, 56), 64, (3, 3), pads=(1, 1, 1, 1))
    config = DirectConv2d().default(workload, target)
    assert config["rows"] * config["columns"] * config["vectors"] + config["vectors"] + 1 <= target.registers
    assert config["rows"] * config["columns"] * config["vectors"] >= 8


def test_tiles_of_wide_vectors_need_few_loads_where_weights_stay_in_the_cache() -> None:
    target = parse_target("x86-64-v4", 1)

    def tile(inputs: int, outputs: int) -> tuple[int, int]:
        data, result = Tensor((1, inputs, 28, 28), block=16), Tensor((1, outputs, 28, 28), block=16)
        attrs = (("dilations", (1, 1)), ("groups", 1), ("pads", (0, 0, 0, 0)), ("strides", (1, 1)))
        workload = Workload("conv2d", (data, Tensor((outputs, inputs, 1, 1))), result, attrs)
        config = DirectConv2d().default(workload, target)
        return config["rows"] * config["columns"], config["vectors"]

    pixels, vectors = tile(128, 128)
    assert pixels + vectors <= pixels * vectors / 2
    pixels, vectors = tile(1024, 512)
    assert vectors == 2  # weights come from far: each is used for more pixels


def test_packing_keeps_every_weight_once(convolution: Callable[..., Workload], target: Target) -> None:
    workload = convolution((1, 19, 5, 5), 37, (3, 3))
    weight = np.arange(1, 37 * 19 * 9 + 1, dtype=np.float32).reshape(37, 19, 3, 3)
    template = DirectConv2d()
    for config in list(template.space(workload, target))[::97]:
        packed = template.pack(workload, target, config, 1, weight)
        assert packed.shape == template.packed(workload, target, config)[1]
        assert np.array_equal(np.sort(packed[packed != 0]), np.sort(weight.ravel()))


CHUNKED: dict[str, tuple[tuple[int, int, int, int], int, dict[str, Any]]] = {
    "3x3": ((1, 96, 5, 7), 37, {"kernel": (3, 3), "pads": (1, 1, 1, 1)}),
    "3x3 strided": ((2, 64, 9, 7), 41, {"kernel": (3, 3), "pads": (1, 1, 1, 1), "strides": (2, 2)}),
    "1x1 flat": ((2, 96, 5, 7), 41, {}),
    "1x1 into a halo": ((1, 64, 7, 7), 33, {"halo": (0, 2, 1, 1)}),
    "two groups": ((1, 128, 5, 3), 96, {"kernel": (3, 3), "pads": (1,) * 4, "groups": 2}),
    "a shorter last chunk": ((1, 80, 5, 3), 35, {"kernel": (3, 3), "pads": (1,) * 4}),
    "a last chunk of part of a block": ((1, 67, 1, 9), 35, {"kernel": (1, 2), "strides": (1, 2)}),
}


@pytest.mark.sweep
@pytest.mark.parametrize("name", CHUNKED)
def test_a_reduction_in_chunks(
    kernels: Any, inputs_of: Any, target: Target, convolution: Callable[..., Workload], name: str
) -> None:
    data, channels, options = CHUNKED[name]
    plain = convolution(data, channels, **options)
    block = target.lanes("float32")
    extra = (Tensor((1, channels, 1, 1), block=block), Tensor(plain.output.shape, block=block, halo=(1, 0, 0, 2)))
    workload = convolution(data, channels, **options, extra=extra, epilogue=FULL)
    some = kernels.configs(workload, 7)
    configs = [{**config, "depth": 32, "band": 0, "prefetch": (0, 1, 256)[i % 3]} for i, config in enumerate(some)]
    arrays = inputs_of(workload)
    expected = np.maximum(torch_convolution(workload, arrays) + arrays[2] + arrays[3], 0)
    direct = [config for config in configs if config.get("algorithm", 0) == 0]
    assert len(direct) >= 3
    kernels.unoptimized().check(workload, direct, arrays, expected)


def test_long_reductions_are_cut_where_the_cache_is_small(convolution: Callable[..., Workload], target: Target) -> None:
    workload = convolution((1, 1024, 7, 7), 1024, (3, 3), pads=(1, 1, 1, 1))
    space = DirectConv2d().space(workload, target)
    config = DirectConv2d().default(workload, target)
    assert config["depth"] > 0
    assert config["band"] == 0
    assert space.contains(config)
    assert not any(other["depth"] and other["band"] for other in space)
    assert not any(other["depth"] for other in DirectConv2d().space(convolution((1, 64, 7, 7), 64), target))


def test_tasks_in_chunks_of_channels_are_whole_maps(convolution: Callable[..., Workload]) -> None:
    target = parse_target("x86-64-v3", 2)
    template, workload = DirectConv2d(), convolution((1, 512, 14, 14), 256, (3, 3), pads=(1, 1, 1, 1))
    default = template.default(workload, target)

    def tasks(depth: int, rows: int) -> float:
        config = {**default, "depth": depth, "rows": rows, "columns": 2, "vectors": 2}
        return template.features(workload, target, config)[6]

    assert tasks(128, 1) == tasks(128, 2) == math.log2(256 / target.lanes("float32") / 2)
    assert tasks(0, 1) > tasks(0, 2) > tasks(128, 1)
