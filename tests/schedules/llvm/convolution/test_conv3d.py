from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.expression import ACC, Arg, Expr, call
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Case:
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


CASES = {
    "padding all round": Case((2, 5, 4, 6, 7), 9, (3, 3, 3), pads=(1, 1, 1)),
    "plain data": Case((2, 3, 3, 5, 4), 4, (3, 3, 3), (1, 2, 2), pads=(1, 1, 1), blocked=False),
    "one plane": Case((2, 5, 1, 5, 4), 4, (3, 1, 1), pads=(1, 0, 0)),
    "planes of padding alone": Case((1, 5, 2, 3, 3), 4, (2, 1, 1), (1, 1, 1), (3, 1, 1), pads=(3, 0, 0)),
    "strides and dilations": Case((1, 19, 5, 4, 9), 21, (2, 3, 1), (2, 1, 2), (2, 1, 1), (1, 1, 0)),
}


@pytest.mark.sweep
@pytest.mark.parametrize("name", CASES)
def test_matches_pytorch(kernels: Any, target: Target, inputs_of: Callable[..., Any], name: str) -> None:
    workload = CASES[name].workload(target.lanes("float32"))
    arrays = inputs_of(workload)
    kernels.unoptimized().check(workload, 2, arrays, CASES[name].torch_result(workload, arrays))


def test_groups_and_epilogues(kernels: Any, target: Target, inputs_of: Callable[..., Any]) -> None:
    lanes = target.lanes("float32")
    case = Case((1, 2 * lanes, 3, 5, 4), 2 * lanes, (3, 1, 1), pads=(1, 0, 0), groups=2)
    residual = Tensor((3, 2 * lanes, 5, 4), block=lanes)
    workload = case.workload(lanes, (residual,), call("relu", call("add", ACC, Arg(2))))
    arrays = inputs_of(workload)
    expected = np.maximum(case.torch_result(workload, arrays) + arrays[2], 0)
    kernels.unoptimized().check(workload, 1, arrays, expected)
