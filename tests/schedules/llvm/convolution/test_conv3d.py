from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.workloads.convolutions import Volume
from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor

CASES = {
    "padding all round": Volume((2, 5, 4, 6, 7), 9, (3, 3, 3), pads=(1, 1, 1)),
    "plain data": Volume((2, 3, 3, 5, 4), 4, (3, 3, 3), (1, 2, 2), pads=(1, 1, 1), blocked=False),
    "one plane": Volume((2, 5, 1, 5, 4), 4, (3, 1, 1), pads=(1, 0, 0)),
    "planes of padding alone": Volume((1, 5, 2, 3, 3), 4, (2, 1, 1), (1, 1, 1), (3, 1, 1), pads=(3, 0, 0)),
    "strides and dilations": Volume((1, 19, 5, 4, 9), 21, (2, 3, 1), (2, 1, 2), (2, 1, 1), (1, 1, 0)),
}


@pytest.mark.sweep
@pytest.mark.parametrize("name", CASES)
def test_matches_pytorch(kernels: Any, target: Target, inputs_of: Callable[..., Any], name: str) -> None:
    workload = CASES[name].workload(target.lanes("float32"))
    arrays = inputs_of(workload)
    kernels.unoptimized().check(workload, 2, arrays, CASES[name].torch_result(workload, arrays))


def test_groups_and_epilogues(kernels: Any, target: Target, inputs_of: Callable[..., Any]) -> None:
    lanes = target.lanes("float32")
    case = Volume((1, 2 * lanes, 3, 5, 4), 2 * lanes, (3, 1, 1), pads=(1, 0, 0), groups=2)
    residual = Tensor((3, 2 * lanes, 5, 4), block=lanes)
    workload = case.workload(lanes, (residual,), call("relu", call("add", ACC, Arg(2))))
    arrays = inputs_of(workload)
    expected = np.maximum(case.torch_result(workload, arrays) + arrays[2], 0)
    kernels.unoptimized().check(workload, 1, arrays, expected)
