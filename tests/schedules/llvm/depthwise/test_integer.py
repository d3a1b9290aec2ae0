"""Depthwise convolution of integers: exact for every value, on odd shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.workloads.integers import integer_convolution, integers_for
from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.llvm.depthwise.integer import IntegerDepthwiseConv2d
from tvmopt.schedules.llvm.parts.quads import multiplies_bytes
from tvmopt.schedules.target import parse_target
from tvmopt.schedules.workload import Workload

HOST = parse_target("llvm", 2)
needs_bytes = pytest.mark.skipif(
    HOST.isa != "avx512" or not multiplies_bytes(HOST), reason="this machine has no AVX-512 VNNI"
)

SHAPES: dict[str, Workload] = {
    "3×3": integer_convolution((1, 32, 9, 14), 32, groups=32),
    "3×3 with stride, channels that fill no block": integer_convolution((2, 40, 9, 9), 40, strides=(2, 2), groups=40),
    "5×5": integer_convolution((1, 64, 11, 11), 64, (5, 5), groups=64),
    "7×7 with stride": integer_convolution((1, 48, 13, 13), 48, (7, 7), strides=(2, 1), groups=48),
    "a line": integer_convolution((1, 16, 1, 20), 16, (1, 3), groups=16),
    "no zero point": integer_convolution((1, 16, 8, 8), 16, zero=0, groups=16),
}


@needs_bytes
@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_is_exact(host: Any, name: str, extreme: bool) -> None:
    workload = SHAPES[name]
    inputs = integers_for(workload, extreme)
    expected = reference(workload, inputs)
    assert expected.std() > 20, "too few results are neither 0 nor 255"
    configs = host.unoptimized().configs(workload, 4)
    for config, memory in zip(configs, host.unoptimized().run(workload, inputs, configs), strict=True):
        assert np.array_equal(workload.output.restore(memory), expected), config
        assert (memory[:, :, :1] == 5).all(), f"the halo is not the zero point: {config}"


def test_refuses_dilation() -> None:
    workload = SHAPES["3×3"]
    attrs = tuple((name, (2, 2) if name == "dilations" else value) for name, value in workload.attrs)
    other = Workload(workload.op, workload.inputs, workload.output, attrs, workload.epilogue)
    assert not IntegerDepthwiseConv2d().accepts(other, HOST)
