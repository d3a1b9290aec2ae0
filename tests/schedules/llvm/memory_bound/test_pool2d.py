from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

WINDOWS: dict[str, tuple[tuple[int, ...], tuple[int, int], tuple[int, int], tuple[int, int, int, int]]] = {
    "2x2": ((1, 19, 8, 6), (2, 2), (2, 2), (0, 0, 0, 0)),
    "3x3 padded, strided": ((2, 20, 13, 11), (3, 3), (2, 2), (1, 1, 1, 1)),
    "3x3 to the same size": ((1, 5, 7, 7), (3, 3), (1, 1), (1, 1, 1, 1)),
    "uneven": ((1, 17, 9, 12), (2, 5), (1, 3), (1, 2, 0, 1)),
    "1x1 strided": ((1, 16, 7, 5), (1, 1), (3, 2), (0, 0, 0, 0)),
    "one pixel": ((1, 1, 1, 1), (3, 3), (1, 1), (1, 1, 1, 1)),
}


def pool(make: Any, lanes: int, name: str, kind: str, **options: Any) -> Workload:
    shape, kernel, strides, pads = WINDOWS[name]
    rounding = options.pop("ceil", 0)
    out = []
    for size, k, s, before, after in zip(shape[2:], kernel, strides, pads[:2], pads[2:], strict=True):
        count = (size + before + after - k + (s - 1 if rounding else 0)) // s + 1
        # A window must not start past the map and its leading padding.
        out.append(count - int(rounding and (count - 1) * s >= size + before))
    reach = [max(0, (out[i] - 1) * strides[i] + kernel[i] - pads[i] - shape[2 + i]) for i in range(2)]
    halo = (0, 0, 0, 0) if kind == "max" else (pads[0], pads[1], *reach)
    attrs = {"kind": kind, "kernel": kernel, "strides": strides, "pads": pads, "count_pads": options.pop("count", 0)}
    data = Tensor(shape, block=lanes, halo=options.pop("around", halo))
    output = Tensor((*shape[:2], *out), block=lanes, halo=options.pop("halo", (0, 0, 0, 0)))
    return make("pool2d", (data, *options.pop("extra", ())), output, options.pop("epilogue", ACC), **attrs)


def torch_pool(workload: Workload, data: np.ndarray, ceil: bool = False) -> np.ndarray:
    import torch

    kernel, strides, pads = (workload.attr(name) for name in ("kernel", "strides", "pads"))
    array = torch.from_numpy(data)
    if workload.attr("kind") == "max":
        function = torch.nn.functional.max_pool2d
        return function(array, kernel, strides, pads[:2], ceil_mode=ceil).numpy()
    count = bool(workload.attr("count_pads"))
    return torch.nn.functional.avg_pool2d(array, kernel, strides, pads[:2], ceil, count).numpy()


@pytest.mark.sweep
@pytest.mark.parametrize("name", ["2x2", "3x3 padded, strided", "3x3 to the same size", "1x1 strided", "one pixel"])
@pytest.mark.parametrize(("kind", "count"), [("max", 0), ("average", 0), ("average", 1)])
@pytest.mark.parametrize("ceil", [False, True])
def test_computes_what_torch_does(
    kernels: Any, inputs_of: Any, make: Any, target: Target, name: str, kind: str, count: int, ceil: bool
) -> None:
    workload = pool(make, target.lanes("float32"), name, kind, count=count, ceil=ceil)
    arrays = inputs_of(workload)
    kernels.unoptimized().check(workload, 0, arrays, torch_pool(workload, arrays[0], ceil))


@pytest.mark.sweep
@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize(("kind", "count"), [("max", 0), ("average", 0), ("average", 1)])
def test_every_number_of_columns(kernels: Any, make: Any, target: Target, name: str, kind: str, count: int) -> None:
    kernels.unoptimized().check(pool(make, target.lanes("float32"), name, kind, count=count), 8)


@pytest.mark.parametrize("kind", ["max", "average"])
def test_halos_and_epilogue(kernels: Any, make: Any, target: Target, kind: str) -> None:
    bias = Tensor((1, 20, 1, 1), block=target.lanes("float32"))
    options = {"around": (2, 2, 3, 3), "halo": (1, 1, 2, 0), "extra": (bias,), "epilogue": call("add", ACC, Arg(1))}
    kernels.check(pool(make, target.lanes("float32"), "3x3 padded, strided", kind, **options))


@pytest.mark.sweep
@pytest.mark.parametrize("size", [(1, 1), (1, 13), (13, 1), (7, 7), (9, 3)])
@pytest.mark.parametrize("kind", ["max", "average"])
def test_whole_maps(kernels: Any, inputs_of: Any, make: Any, target: Target, size: tuple[int, int], kind: str) -> None:
    attrs = {"kind": kind, "kernel": size, "strides": (1, 1), "pads": (0, 0, 0, 0), "count_pads": 0}
    data = Tensor((2, 21, *size), block=target.lanes("float32"), halo=(1, 0, 0, 2))
    output = Tensor((2, 21, 1, 1), block=target.lanes("float32"), halo=(1, 1, 0, 0))
    workload = make("pool2d", (data,), output, **attrs)
    arrays = inputs_of(workload)
    function = np.max if kind == "max" else np.mean
    kernels.check(workload, 1, arrays, function(arrays[0], axis=(2, 3), keepdims=True))


def test_a_maximum_of_nothing_but_minus_infinity(kernels: Any, make: Any, target: Target) -> None:
    workload = pool(make, target.lanes("float32"), "3x3 padded, strided", "max")
    data = np.full(workload.inputs[0].shape, -np.inf, np.float32)
    kernels.check(workload, 0, [data], np.full(workload.output.shape, -np.inf, np.float32))


@pytest.mark.parametrize(("kind", "count"), [("max", 0), ("average", 0), ("average", 1)])
@pytest.mark.parametrize(
    ("kernel", "strides", "pads"), [((3, 3, 2), (2, 2, 1), (1, 1, 0)), ((4, 1, 1), (1, 1, 1), (0, 0, 0))]
)
def test_volumes(
    kernels: Any, inputs_of: Any, make: Any, target: Target, kernel: Any, strides: Any, pads: Any, kind: str, count: int
) -> None:
    """Two volumes of five planes."""
    import torch

    channels, size = target.lanes("float32") + 3, (5, 6, 7)
    made = [(size[i] + 2 * pads[i] - kernel[i]) // strides[i] + 1 for i in range(3)]
    halo = (0, 0, 0, 0) if kind == "max" else pads[1:] * 2
    workload = make(
        "pool2d",
        (Tensor((10, channels, 6, 7), block=target.lanes("float32"), halo=halo),),
        Tensor((2 * made[0], channels, made[1], made[2]), block=target.lanes("float32")),
        kind=kind,
        kernel=kernel[1:],
        strides=strides[1:],
        pads=pads[1:] * 2,
        depth=(kernel[0], strides[0], 1, 5, pads[0], pads[0]),
        count_pads=count,
    )
    (data,) = inputs_of(workload)
    volumes = torch.from_numpy(data).reshape(2, 5, channels, 6, 7).transpose(1, 2)
    if kind == "max":
        pooled = torch.nn.functional.max_pool3d(volumes, kernel, strides, pads)
    else:
        pooled = torch.nn.functional.avg_pool3d(volumes, kernel, strides, pads, count_include_pad=bool(count))
    expected = pooled.transpose(1, 2).reshape(workload.output.shape).numpy()
    kernels.unoptimized().check(workload, 0, [data], expected)


def test_the_maximum_of_quantised_maps(host: Any, make: Any) -> None:
    """Zero is the least, so that it does not matter what is read beyond the border."""
    torch = pytest.importorskip("torch")
    lanes = host.target.channel_block("uint8")
    shape = (1, lanes + 3, 7, 9)
    data = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    data[:, :2] = 0
    output = Tensor((1, lanes + 3, 4, 5), "uint8", lanes, (1, 1, 1, 1), 7)
    attrs = {"kind": "max", "kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1), "count_pads": 0}
    workload = make("pool2d", (Tensor(shape, "uint8", lanes),), output, **attrs)
    (memory,) = host.run(workload, [data], host.configs(workload, 0))
    wanted = torch.nn.functional.max_pool2d(torch.from_numpy(data.astype(np.float32)), 3, 2, 1)
    assert np.array_equal(output.restore(memory), wanted.numpy().astype(np.uint8))
    assert (memory[:, :, 0] == 7).all()
