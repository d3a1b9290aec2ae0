"""Kernels that move, choose, average or look up quantised values, in blocks and in row-major order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.onnx_models import make_model
from tvmopt.pipeline.graph.quantized.average import sums_columns
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.expression import ACC, Arg, Const, Expr, call
from tvmopt.schedules.llvm.memory_bound.table import LOOKED_UP
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

AROUND = (1, 0, 2, 3)
FILL = 9


def maps(target: Target, shape: tuple[int, ...], halo: Any = (0, 0, 0, 0), fill: int = 0) -> Tensor:
    return Tensor(shape, "uint8", target.channel_block("uint8"), halo, fill)


def check(kernels: Any, workload: Workload, expected: np.ndarray | None = None, configs: int = 0) -> None:
    """Checks every element, and that the halo holds its number."""
    random = np.random.default_rng(0)
    arrays = [
        random.integers(0, 4 if x.dtype == "int32" else 256, x.shape).astype(x.dtype)
        if np.dtype(x.dtype).kind in "iu"
        else np.ones(x.shape, x.dtype)
        for x in workload.inputs
    ]
    wanted = reference(workload, arrays) if expected is None else expected
    output = workload.output
    for memory in kernels.run(workload, arrays, kernels.configs(workload, configs)):
        assert np.array_equal(output.restore(memory), wanted)
        if not output.plain:
            top, left, bottom, right = output.halo
            edge = np.ones(memory.shape, bool)
            edge[:, :, top : memory.shape[2] - bottom, left : memory.shape[3] - right] = False
            assert (memory[edge] == output.fill).all()


def quantised(scale: float) -> Expr:
    return call("quantize", ACC, Const(scale), Const(5.0))


@pytest.mark.parametrize("zero", [0, 7, 255])
@pytest.mark.parametrize("count", [0, 1])
def test_averages_of_windows(kernels: Any, make: Any, target: Target, zero: int, count: int) -> None:
    data = maps(target, (2, 20, 9, 11), (1, 1, 2, 1), zero)
    window = {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1), "count_pads": count}
    output = maps(target, (2, 20, 5, 6), AROUND, FILL)
    workload = make(
        "pool2d", (data,), output, quantised(0.77), kind="average", zero=zero, scale=0.5, by_column=count, **window
    )
    random = np.random.default_rng(0)
    array = random.integers(0, 256, data.shape).astype(np.uint8)
    padded = np.pad(array.astype(np.int64) - zero, ((0, 0), (0, 0), (1, 2), (1, 2)))
    inside = np.pad(np.ones(data.shape, np.int64), ((0, 0), (0, 0), (1, 2), (1, 2)))
    if count:
        inside[:, :, :11, :13] = 1
    sums, counts = (
        np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))[:, :, ::2, ::2].sum(axis=(4, 5))[:, :, :5, :6]
        for x in (padded, inside)
    )
    wanted = np.clip(np.rint(sums / counts * 0.5 / 0.77) + 5, 0, 255)
    assert np.array_equal(reference(workload, [array]), wanted)
    check(kernels.unoptimized(), workload, wanted, 3)


@pytest.mark.parametrize("size", [(7, 7), (1, 3), (1, 1), (40, 56)])
def test_averages_of_whole_maps(kernels: Any, make: Any, target: Target, size: tuple[int, int]) -> None:
    window = {"kernel": size, "strides": (1, 1), "pads": (0, 0, 0, 0), "count_pads": 0}
    data = maps(target, (2, 19, *size), AROUND, 3)
    for made, epilogue in ((maps(target, (2, 19, 1, 1)), quantised(0.9)),):
        check(
            kernels.unoptimized(),
            make("pool2d", (data,), made, epilogue, kind="average", zero=3, scale=0.6, by_column=0, **window),
        )


def test_maxima_are_rounded_to_another_scale(kernels: Any, make: Any, target: Target) -> None:
    expr = call("quantize", call("dequantize", ACC, Const(0.5), Const(3.0)), Const(0.75), Const(8.0))
    window = {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1), "count_pads": 0}
    data, made = maps(target, (1, 20, 9, 11)), maps(target, (1, 20, 5, 6), AROUND, 8)
    check(kernels.unoptimized(), make("pool2d", (data,), made, expr, kind="max", **window))


@pytest.mark.parametrize("halos", [((0, 0, 0, 0), AROUND), (AROUND, (0, 0, 0, 0)), ((0, 0, 0, 0),) * 2])
def test_choices_of_channels(kernels: Any, make: Any, target: Target, halos: Any) -> None:
    block = target.channel_block("uint8")
    counts = (2 * block + 3, block)
    inputs = tuple(maps(target, (2, count, 3, 5), halos[0]) for count in counts)
    channels = (*range(counts[0] - 1, -1, -1), counts[0] + 1)
    check(
        kernels.unoptimized(),
        make("channels", inputs, maps(target, (2, len(channels), 3, 5), halos[1], FILL), channels=channels),
    )


@pytest.mark.parametrize("channels", [1, 20])
def test_nearest_pixels(kernels: Any, make: Any, target: Target, channels: int) -> None:
    tables = (Tensor((8,), "int32"), Tensor((8,)), Tensor((10,), "int32"), Tensor((10,)))
    made = maps(target, (1, channels, 8, 10), AROUND, FILL)
    check(kernels.unoptimized(), make("resize2d", (maps(target, (1, channels, 4, 5)), *tables), made, taps=1))


def test_copies_paddings_and_joints_of_rows(kernels: Any, make: Any) -> None:
    plain = Tensor((6, 5, 70), "uint8")
    turned = make("copy", (plain,), Tensor((70, 6, 5), "uint8"), sizes=(70, 6, 5), strides=(1, 350, 70), offset=0)
    padded = make(
        "pad", (plain,), Tensor((6, 7, 73), "uint8"), before=(0, 1, 2), after=(0, 1, 1), mode="constant", fill=200.0
    )
    joined = make("concat", (Tensor((6, 70), "uint8"), Tensor((6, 3), "uint8")), Tensor((6, 73), "uint8"))
    for workload in (turned, padded, joined):
        check(kernels.unoptimized(), workload)


LAYOUTS = ["plain", "whole", "halos"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 16, 16, 16), (2, 19, 5, 7)])
def test_tables(kernels: Any, make: Any, target: Target, layout: str, shape: tuple[int, ...]) -> None:
    """Of all bytes where there are as many, with entries that differ."""
    around = AROUND if layout == "halos" else (0, 0, 0, 0)
    data, made = maps(target, shape, around[::-1], 3), maps(target, shape, around, FILL)  # type: ignore[arg-type]
    if layout == "plain":
        data = made = Tensor(shape, "uint8")
    workload = make("pointwise", (data, Tensor((256,), "uint8")), made, LOOKED_UP)
    values = np.arange(math.prod(shape)).reshape(shape).astype(np.uint8)
    table = np.random.default_rng(0).permutation(256).astype(np.uint8)
    for memory in kernels.unoptimized().run(workload, [values, table], [{}]):
        assert np.array_equal(made.restore(memory), table[values])
        if any(around):
            assert (memory[:, :, 0] == FILL).all()


@pytest.mark.parametrize("plain", [False, True])
def test_tables_inside_of_expressions(kernels: Any, make: Any, target: Target, plain: bool) -> None:
    """Also beside long chains, which are computed as wider vectors."""
    shape = (1, 20, 7, 9)
    data = Tensor(shape, "uint8") if plain else maps(target, shape)
    chain = call("sigmoid", call("dequantize", Arg(2), Const(0.02), Const(100.0)))
    expr = call("add", call("dequantize", call("table", Arg(0), Arg(1)), Const(0.1), Const(7.0)), chain)
    workload = make(
        "pointwise", (data, Tensor((256,), "uint8"), data), data, call("quantize", expr, Const(0.1), Const(2.0))
    )
    check(kernels.unoptimized(), workload, configs=3)


def test_tables_behind_pooling(kernels: Any, make: Any, target: Target) -> None:
    window = {"kernel": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0), "count_pads": 0}
    data, table = maps(target, (1, 20, 8, 12)), Tensor((256,), "uint8")
    made = maps(target, (1, 20, 4, 6), AROUND, FILL)
    for kind, value in (("max", ACC), ("average", quantised(0.9))):
        expr = call("table", value, Arg(1))
        check(
            kernels.unoptimized(),
            make("pool2d", (data, table), made, expr, kind=kind, zero=0, scale=0.7, by_column=1, **window),
        )


@pytest.mark.parametrize("opset", [17, 19])
@pytest.mark.parametrize("strides", [2, 3])
def test_averages_in_the_same_scale_are_rounded_as_onnxruntime_does(
    host: Any, make: Any, opset: int, strides: int
) -> None:
    """A tenth of these are halfway between two integers."""
    scale, zero, size = float(np.float32(0.13086554)), 136, {2: 12, 3: 8}[strides]
    shape = (1, 16, 24, 24)
    data = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    model = make_model(
        ("DequantizeLinear", "x s z", "d"),
        ("AveragePool", "d", "m", {"kernel_shape": [2, 2], "strides": [strides] * 2}),
        ("QuantizeLinear", "m s z", "y"),
        inputs={"x": ("uint8", *shape)},
        outputs="y",
        opset=opset,
        s=np.float32(scale),
        z=np.uint8(zero),
    )
    window = {"kernel": (2, 2), "strides": (strides,) * 2, "pads": (0, 0, 0, 0), "count_pads": 0}
    workload = make(
        "pool2d",
        (maps(host.target, shape, fill=zero),),
        maps(host.target, (1, 16, size, size)),
        call("quantize", ACC, Const(scale), Const(float(zero))),
        **{**window, "kind": "average", "zero": zero, "scale": scale},
        by_column=int(sums_columns((strides, strides), opset)),
    )
    expected = run_model(model, {"x": data})["y"]
    assert np.array_equal(reference(workload, [data]), expected)
    (memory,) = host.run(workload, [data], host.configs(workload, 0))
    assert np.array_equal(workload.output.restore(memory), expected)


@pytest.mark.parametrize("width", [3, 9])
def test_sums_of_two_scales_by_channel(kernels: Any, make: Any, target: Target, width: int) -> None:
    """Several vectors are stored as one where there are as many."""
    shape = (2, 20, 5, width)
    by_channel = Tensor((1, 20, 1, 1), block=target.channel_block("uint8"))
    one, two = (
        call("dequantize", Arg(i), scale, Const(zero)) for i, scale, zero in ((0, Arg(2), 7.0), (1, Const(0.31), 3.0))
    )
    data = (maps(target, shape), maps(target, (2, 20, 1, 1)), by_channel)
    expr = call("quantize", call("mul", one, two), Const(1.0), Const(float(FILL)))
    check(kernels.unoptimized(), make("pointwise", data, maps(target, shape, AROUND, FILL), expr), configs=3)
