"""Depthwise convolution of integers: exact for every value, on odd shapes, on each instruction set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.workloads.integers import for_lanes, integer_convolution, integers_for
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.llvm.depthwise.integer import IntegerDepthwiseConv2d
from tvmopt.schedules.llvm.parts.quads import adds_quads
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Workload

SETS = {"VNNI": "llvm", "AVX-512": "x86-64-v4", "AVX2": "x86-64-v3"}

SHAPES: dict[str, Workload] = {
    "3×3": integer_convolution((1, 32, 9, 14), 32, groups=32),
    "3×3 with stride, channels that fill no block": integer_convolution((2, 40, 9, 9), 40, strides=(2, 2), groups=40),
    "5×5": integer_convolution((1, 64, 11, 11), 64, (5, 5), groups=64),
    "7×7 with stride": integer_convolution((1, 48, 13, 13), 48, (7, 7), strides=(2, 1), groups=48),
    "a line": integer_convolution((1, 16, 1, 20), 16, (1, 3), groups=16),
    "a column": integer_convolution((1, 16, 20, 1), 16, (4, 1), groups=16),
    "a stride beyond the kernel": integer_convolution((1, 16, 12, 12), 16, (2, 2), strides=(3, 3), groups=16),
    "no zero point": integer_convolution((1, 16, 8, 8), 16, zero=0, groups=16),
    "the largest zero point": integer_convolution((1, 24, 8, 8), 24, zero=255, groups=24),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("isa", SETS)
def test_is_exact(kernels_for: Callable[[Target], Any], isa: str, name: str) -> None:
    target = parse_target(SETS[isa], 2)
    if not LOCAL.facts().can_run(target) or (isa == "VNNI" and not (target.isa == "avx512" and adds_quads(target))):
        pytest.skip(f"this machine has no {isa}")
    workload = for_lanes(SHAPES[name], target.lanes("float32"))
    kernels = kernels_for(target)
    configs = kernels.configs(workload, 3 if isa == "VNNI" else 1)
    for extreme in (False, True) if isa == "VNNI" or name == "3×3" else (False,):
        inputs = integers_for(workload, extreme)
        expected = reference(workload, inputs)
        assert expected.std() > 20, "too few results are neither 0 nor 255"
        for config, memory in zip(configs, kernels.run(workload, inputs, configs), strict=True):
            assert np.array_equal(workload.output.restore(memory), expected), config
            assert (memory[:, :, :1] == 5).all(), f"the halo is not the zero point: {config}"


def test_refuses_dilation() -> None:
    workload = for_lanes(SHAPES["3×3"], 8)
    target = parse_target("x86-64-v3", 1)
    assert IntegerDepthwiseConv2d().accepts(workload, target)
    attrs = tuple((name, (2, 2) if name == "dilations" else value) for name, value in workload.attrs)
    other = Workload(workload.op, workload.inputs, workload.output, attrs, workload.epilogue)
    assert not IntegerDepthwiseConv2d().accepts(other, target)
