from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.workloads.convolutions import Volume
from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor

# Sizes are prime or odd on purpose: every tile has a tail, and so have the channels.
CASES = {
    "padding all round": Volume((2, 5, 4, 6, 7), 5, (3, 3, 3), pads=(1, 1, 1), groups=5),
    "one plane": Volume((2, 19, 1, 5, 11), 19, (3, 1, 1), pads=(1, 0, 0), groups=19),
    "planes of padding alone": Volume((1, 17, 2, 3, 3), 17, (2, 1, 1), (1, 1, 1), (3, 1, 1), pads=(3, 0, 0), groups=17),
    "strides and dilations": Volume((1, 33, 5, 4, 9), 33, (2, 3, 1), (2, 1, 2), (2, 1, 1), (1, 1, 0), groups=33),
    "no padding": Volume((1, 2, 3, 7, 5), 2, (2, 3, 2), groups=2),
}


@pytest.mark.sweep
@pytest.mark.parametrize("name", CASES)
def test_matches_pytorch(kernels: Any, target: Target, inputs_of: Callable[..., Any], name: str) -> None:
    workload = CASES[name].workload(target.lanes("float32"))
    assert template_for(workload, target).name == "depthwise_conv3d"
    arrays = inputs_of(workload)
    kernels.unoptimized().check(workload, 8, arrays, CASES[name].torch_result(workload, arrays))


def test_epilogues_fuse(kernels: Any, target: Target, inputs_of: Callable[..., Any]) -> None:
    lanes = target.lanes("float32")
    case = Volume((1, lanes + 1, 3, 5, 4), lanes + 1, (3, 3, 3), pads=(1, 1, 1), groups=lanes + 1)
    residual = Tensor((3, lanes + 1, 5, 4), block=lanes)
    workload = case.workload(lanes, (residual,), call("relu", call("add", ACC, Arg(2))))
    arrays = inputs_of(workload)
    expected = np.maximum(case.torch_result(workload, arrays) + arrays[2], 0)
    kernels.unoptimized().check(workload, 1, arrays, expected)


def test_infinity_and_nan_stay_in_their_channel(kernels: Any, target: Target, inputs_of: Callable[..., Any]) -> None:
    """Neither other channels nor windows without it see them; planes of padding are not multiplied with anything."""
    case = Volume((1, 5, 3, 4, 6), 5, (3, 1, 2), pads=(1, 0, 0), groups=5)
    workload = case.workload(target.lanes("float32"))
    arrays = inputs_of(workload)
    arrays[0][1, 2, 1, 3], arrays[0][2, 0, 3, 5] = np.inf, np.nan
    config = template_for(workload, target).default(workload, target)
    (memory,) = kernels.unoptimized().run(workload, arrays, [config])
    np.testing.assert_allclose(
        workload.output.restore(memory), case.torch_result(workload, arrays), rtol=1e-4, atol=1e-5
    )
