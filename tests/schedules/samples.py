"""One workload for every template."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.workloads.attentions import attention
from tests.workloads.integers import integer_convolution, integer_matrices, integer_product
from tests.workloads.recurrences import recurrence
from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.llvm.memory_bound.table import LOOKED_UP
from tvmopt.schedules.target import parse_target
from tvmopt.schedules.workload import Tensor, Workload

LANES = parse_target("x86-64-v3").lanes("float32")

Wide = Callable[..., Workload]


def separable(depthwise: Workload, channels: int) -> Workload:
    """The workload of a depthwise convolution followed by a 1×1 convolution to this number of channels."""
    n, inputs, rows, columns = depthwise.output.shape
    weight = Tensor((channels, inputs, 1, 1))
    output = Tensor((n, channels, rows, columns), block=depthwise.output.block)
    return Workload("separable_conv2d", (*depthwise.inputs, weight), output, depthwise.attrs, ACC, depthwise.epilogue)


def expanded(depthwise: Workload, channels: int) -> Workload:
    """The workload of a 1×1 convolution of this number of channels followed by a depthwise convolution."""
    n, wide, rows, columns = depthwise.inputs[0].shape
    data = Tensor((n, channels, rows, columns), block=depthwise.output.block)
    attrs = tuple((name, value) for name, value in depthwise.attrs if name != "groups")
    inputs = (data, depthwise.inputs[1], Tensor((wide, channels, 1, 1)), *depthwise.inputs[2:])
    return Workload("expanded_conv2d", inputs, depthwise.output, attrs, ACC, depthwise.epilogue)


def workloads(wide: Wide, make: Callable[..., Workload]) -> dict[str, Workload]:
    """One workload for every template, large enough to divide."""
    maps = Tensor((2, 3 * LANES, 12, 13), block=LANES)
    bytes_ = replace(maps, dtype="uint8")
    relu = call("relu", ACC)
    pads: dict[str, Any] = {"kernel": (3, 3), "pads": (1, 1, 1, 1), "epilogue": relu}
    window = {"kernel": (3, 3), "strides": (1, 1), "pads": (1, 1, 1, 1), "count_pads": 0}
    table = (Tensor((24,), "int32"), Tensor((24,)))
    rows = Tensor((64, 129, 1))
    depthwise = wide(LANES, maps.shape, 3 * LANES, groups=3 * LANES, **pads)
    twice = {"strides": (2, 2), "dilations": (1, 1), "groups": 1, "pads": (1, 1, 1, 1)}
    volume = {**twice, "strides": (1, 1), "depth": (3, 1, 1, 2, 1, 1)}
    around, larger = Tensor(maps.shape, block=LANES, halo=(1, 1, 1, 1)), Tensor((2, 5 * LANES, 24, 26), block=LANES)
    kernels = Tensor((5 * LANES, 3 * LANES, 4, 4))
    by_channel: dict[str, Any] = {"groups": 3 * LANES, "epilogue": relu}
    return {
        "conv2d": wide(LANES, maps.shape, 5 * LANES, **pads),
        "depthwise_conv2d": depthwise,
        "integer_conv2d": integer_convolution(maps.shape, 5 * LANES, lanes=LANES),
        "integer_depthwise_conv2d": integer_convolution(maps.shape, 3 * LANES, groups=3 * LANES, lanes=LANES),
        "separable_conv2d": separable(depthwise, 5 * LANES),
        "expanded_conv2d": expanded(depthwise, 2 * LANES),
        "conv3d": make(
            "conv3d",
            (around, Tensor((5 * LANES, 3 * LANES, 9, 3))),
            Tensor((2, 5 * LANES, 12, 13), block=LANES),
            relu,
            **volume,
        ),
        "transposed_conv2d": make("transposed_conv2d", (around, kernels), larger, relu, **twice),
        "depthwise_conv3d": make("conv3d", (around, Tensor((3 * LANES, 1, 9, 3))), maps, **{**volume, **by_channel}),
        "transposed_depthwise": make(
            "transposed_conv2d",
            (around, Tensor((3 * LANES, 1, 4, 4))),
            Tensor((2, 3 * LANES, 24, 26), block=LANES),
            **{**twice, **by_channel},
        ),
        "dense": make("dense", (Tensor((1, 40, 70)), Tensor((70, 130))), Tensor((1, 40, 130)), packed=1),
        "integer_dense": integer_product(40, 70, 130, zero=3, epilogue=call("to_float32", ACC), dtype="float32"),
        "integer_product": integer_matrices(
            (2, 40, 70, 130), (3, 5), epilogue=call("to_float32", ACC), dtype="float32"
        ),
        "pool2d": make("pool2d", (maps,), maps, kind="max", **window),
        "pointwise": make("pointwise", (maps, maps), maps, call("add", Arg(0), Arg(1))),
        "pointwise plain": make("pointwise", (Tensor((50, 400)),), Tensor((50, 400)), call("relu", Arg(0))),
        "table": make("pointwise", (replace(bytes_, halo=(1, 1, 1, 1)), Tensor((256,), "uint8")), bytes_, LOOKED_UP),
        "concat": make("concat", (maps, maps), Tensor((2, 6 * LANES, 12, 13), block=LANES)),
        "channels": make("channels", (maps,), Tensor((2, 7, 12, 13), block=LANES), channels=tuple(range(5, 12))),
        "relayout": make("relayout", (Tensor(maps.shape),), maps),
        "depth_to_space": make("depth_to_space", (maps,), Tensor((2, 6, 23, 26)), strides=(2, 2), order="CRD"),
        "copy": make("copy", (Tensor((150, 100)),), Tensor((100, 150)), offset=0, sizes=(100, 150), strides=(1, 100)),
        "pad": make(
            "pad", (Tensor((20, 100)),), Tensor((23, 105)), before=(1, 5), after=(2, 0), mode="constant", fill=0.5
        ),
        "concat rows": make("concat", (Tensor((64, 70)), Tensor((64, 90))), Tensor((64, 160))),
        "reduce": make("reduce", (rows,), Tensor((64, 1, 1)), kind="max"),
        "reduce columns": make("reduce", (Tensor((2, 9, 64)),), Tensor((2, 1, 64)), kind="sum"),
        "row_norm": make("row_norm", (Tensor((64, 1, 1, 130)),), Tensor((64, 1, 1, 130)), kind="rms", epsilon=1e-5),
        "map_norm": make("map_norm", (maps,), maps, kind="standard", epsilon=1e-5, groups=3 * LANES),
        "channel_norm": make("channel_norm", (maps,), maps, kind="standard", epsilon=1e-5),
        "lrn": make("lrn", (maps,), maps, size=5, alpha=1e-2, beta=0.75, bias=1.0),
        "softmax": make("softmax", (rows,), rows),
        "resize2d": make("resize2d", (maps, *table, *table), Tensor((2, 3 * LANES, 12, 12), block=LANES), taps=2),
        "top_k": make("top_k", (Tensor((64, 129, 1)),), Tensor((64, 8, 1), "int64"), largest=1),
        "top_k of many": make("top_k", (Tensor((64, 129, 1)),), Tensor((64, 129, 1), "int64"), largest=1),
        "take": make("take", (Tensor((2, 30, 70)), Tensor((1, 50, 1), "int64")), Tensor((2, 50, 70)), sizes=(30,)),
        "pick": make("pick", (Tensor((64, 129, 1)), Tensor((64, 129, 1), "int64")), Tensor((64, 129, 1))),
        "suppress": make(
            "suppress",
            (Tensor((2, 70, 4)), Tensor((2, 3, 70))),
            Tensor((2, 3, 70)),
            most=30,
            overlap=0.5,
            limited=1,
            limit=0.25,
            center=0,
        ),
        "find": make("find", (Tensor((700,), "bool"),), Tensor((700,), "int64")),
        "attention": attention(3, 40, 70, 16, 24),
        "recurrence": recurrence(steps=4, hidden=128),
    }
