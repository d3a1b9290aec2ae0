from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.workloads.convolutions import Volume
from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.llvm.parts.emit import SPREAD
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.llvm.parts.task_order import band_length
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target, parse_target
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


@pytest.mark.parametrize(("rows", "planes", "channels"), [(14, 2, 576), (7, 1, 1152), (9, 3, 432), (28, 4, 288)])
def test_bands_of_the_default_leave_no_rest(rows: int, planes: int, channels: int) -> None:
    for target in (parse_target("x86-64-v4", 1), parse_target("x86-64-v4", 2)):
        case = Volume((1, channels, planes, rows, rows), 256, (3, 1, 1), pads=(1, 0, 0))
        workload = case.workload(target.lanes("float32"))
        config = template_for(workload, target).default(workload, target)
        units = Cut.of(rows, config["rows"]).pieces
        assert units % band_length(config["band"], units, target.threads) == 0
        large = workload.inputs[1].nbytes > target.l2_bytes // 4
        assert config["prefetch"] == (SPREAD if large else 0)


@pytest.mark.parametrize("depth", [16, 32])
def test_chunks_of_the_reduction(kernels: Any, target: Target, inputs_of: Callable[..., Any], depth: int) -> None:
    """The last chunk is shorter, and planes of padding are skipped in each."""
    lanes = target.lanes("float32")
    case = Volume((1, 3 * 16 + 5, 3, 5, 7), 3 * lanes + 1, (3, 1, 1), pads=(1, 0, 0))
    workload = case.workload(lanes)
    arrays, template = inputs_of(workload), template_for(workload, target)
    config = {**template.default(workload, target), "prefetch": SPREAD, "band": 0, "depth": depth}
    kernels.unoptimized().check(workload, [config], arrays, case.torch_result(workload, arrays))


def test_even_prefetching_past_planes_of_padding(kernels: Any, target: Target, inputs_of: Callable[..., Any]) -> None:
    """The share of the next weights is counted over the whole window, although its planes of padding are skipped."""
    lanes = target.lanes("float32")
    case = Volume((1, 2 * lanes + 3, 3, 5, 1), 3 * lanes + 1, (3, 1, 1), pads=(1, 0, 0))
    workload = case.workload(lanes)
    arrays, template = inputs_of(workload), template_for(workload, target)
    config = {**template.default(workload, target), "prefetch": SPREAD}
    kernels.check(workload, [config], arrays, case.torch_result(workload, arrays))
