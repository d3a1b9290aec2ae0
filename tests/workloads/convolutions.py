"""Convolutions over volumes and transposed ones: workloads as the graph makes them, and PyTorch's results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tvmopt.schedules.expression import ACC, Arg, Expr, call
from tvmopt.schedules.workload import Tensor, Workload

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Volume:
    """A convolution over volumes; sizes are (planes, rows, columns)."""

    data: tuple[int, int, int, int, int]
    channels: int
    kernel: Triple
    strides: Triple = (1, 1, 1)
    dilations: Triple = (1, 1, 1)
    pads: Triple = (0, 0, 0)
    groups: int = 1
    blocked: bool = True

    def workload(self, lanes: int, extra: tuple[Tensor, ...] = (), epilogue: Expr = ACC) -> Workload:
        n, inputs, planes, *size = self.data
        reach = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]
        made = [
            (extent + 2 * pad - far) // stride + 1
            for extent, pad, far, stride in zip((planes, *size), self.pads, reach, self.strides, strict=True)
        ]
        pads, halo = self.pads[1:] * 2, (self.pads[1], self.pads[2], self.pads[1], self.pads[2])
        depth = (self.kernel[0], self.strides[0], self.dilations[0], planes, self.pads[0], self.pads[0])
        weight = (self.channels, inputs // self.groups, self.kernel[0] * self.kernel[1], self.kernel[2])
        attrs = {"strides": self.strides[1:], "dilations": self.dilations[1:], "pads": pads, "groups": self.groups}
        return Workload(
            "conv3d",
            (
                Tensor((n * planes, inputs, size[0], size[1]), block=lanes if self.blocked else 1, halo=halo),
                Tensor(weight),
                *extra,
            ),
            Tensor((n * made[0], self.channels, made[1], made[2]), block=lanes),
            tuple(sorted({**attrs, "depth": depth}.items())),
            epilogue,
        )

    def torch_result(self, workload: Workload, arrays: list[np.ndarray]) -> np.ndarray:
        import torch

        n, inputs, planes, *size = self.data
        data = torch.from_numpy(arrays[0]).reshape(n, planes, inputs, *size).transpose(1, 2)
        weight = torch.from_numpy(arrays[1]).reshape(self.channels, -1, *self.kernel)
        made = torch.nn.functional.conv3d(
            data, weight, stride=self.strides, dilation=self.dilations, padding=self.pads, groups=self.groups
        )
        return made.transpose(1, 2).reshape(workload.output.shape).numpy()


def transposed(
    lanes: int,
    data: tuple[int, int, int, int],
    channels: int,
    kernel: tuple[int, int] = (1, 1),
    *,
    strides: tuple[int, int] = (1, 1),
    dilations: tuple[int, int] = (1, 1),
    pads: tuple[int, int] = (0, 0),
    size: tuple[int, ...] = (),
    groups: int = 1,
    halo: tuple[int, int, int, int] = (0, 0, 0, 0),
    **options: Any,
) -> Workload:
    """A transposed convolution as the graph makes it, with a halo of the data that is wide enough for any phase."""
    n, inputs, *extents = data
    whole = [(extents[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - pads[i] for i in range(2)]
    around = [(kernel[i] - 1) * dilations[i] + 1 for i in range(2)]
    return Workload(
        "transposed_conv2d",
        (
            Tensor(data, block=lanes, halo=(around[0], around[1], around[0], around[1])),
            Tensor((channels, inputs // groups, *kernel)),
            *options.get("extra", ()),
        ),
        Tensor((n, channels, *(size or whole)), block=lanes, halo=halo),
        (("dilations", dilations), ("groups", groups), ("pads", (*pads, 0, 0)), ("strides", strides)),
        options.get("epilogue", ACC),
    )


def transposed_with_epilogue(lanes: int, inputs: int, groups: int = 1) -> Workload:
    """With a bias, a residual map and a function of several results, at an output with an end in no phase's step.

    The bias and the map are its last two operands; the result is tanh of the sum.
    """
    channels = lanes + 3
    extra = (
        Tensor((1, channels, 1, 1), block=lanes),
        Tensor((1, channels, 7, 9), block=lanes, halo=(0, 1, 0, 1)),
    )
    epilogue = call("tanh", call("add", call("add", ACC, Arg(2)), Arg(3)))
    options: dict[str, Any] = {"strides": (2, 2), "size": (7, 9), "extra": extra, "epilogue": epilogue}
    return transposed(lanes, (1, inputs, 4, 5), channels, (2, 2), groups=groups, **options)


def transposed_by_torch(workload: Workload, arrays: list[np.ndarray]) -> np.ndarray:
    import torch

    groups = workload.attr("groups")
    weight = np.concatenate([part.swapaxes(0, 1) for part in np.split(arrays[1], groups)])
    whole = torch.nn.functional.conv_transpose2d(
        torch.from_numpy(arrays[0]),
        torch.from_numpy(np.ascontiguousarray(weight)),
        stride=workload.attr("strides"),
        dilation=workload.attr("dilations"),
        groups=groups,
    ).numpy()
    top, left = workload.attr("pads")[:2]
    rows, columns = workload.output.shape[2:]
    whole = np.pad(whole, ((0, 0), (0, 0), (0, rows), (0, columns)))
    return whole[:, :, top : top + rows, left : left + columns]
