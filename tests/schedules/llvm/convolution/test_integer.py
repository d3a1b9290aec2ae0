"""Convolution of integers: exact for every value, on odd shapes, at the edges of the sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.workloads.integers import integer_convolution, integers_for
from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.llvm.convolution.integers.direct import IntegerConv2d
from tvmopt.schedules.llvm.parts.quads import multiplies_bytes
from tvmopt.schedules.target import parse_target
from tvmopt.schedules.workload import Tensor, Workload

HOST = parse_target("llvm", 2)
needs_bytes = pytest.mark.skipif(
    HOST.isa != "avx512" or not multiplies_bytes(HOST), reason="this machine has no AVX-512 VNNI"
)

SHAPES: dict[str, Workload] = {
    "3×3": integer_convolution((1, 64, 9, 11), 64),
    "few channels": integer_convolution((1, 3, 13, 10), 24, strides=(2, 2), block=4),
    "few channels in whole blocks": integer_convolution((1, 3, 13, 10), 24, strides=(2, 1)),
    "channels that fill no quad": integer_convolution((2, 21, 5, 7), 33),
    "1×1": integer_convolution((1, 40, 7, 7), 72, (1, 1), halo=(0, 0, 0, 0)),
    "1×1 with stride": integer_convolution((1, 32, 8, 8), 48, (1, 1), strides=(2, 2)),
    "no zero point": integer_convolution((1, 16, 6, 6), 16, zero=0),
    "the largest zero point": integer_convolution((1, 16, 6, 6), 16, (5, 3), zero=255),
    "a dilation as large as the map": integer_convolution((1, 16, 8, 8), 16, dilations=(6, 7), zero=128),
    "a dilation": integer_convolution((1, 16, 8, 8), 16, dilations=(2, 2), zero=128),
    "groups": integer_convolution((1, 64, 6, 9), 32, groups=2),
}


@needs_bytes
@pytest.mark.parametrize("name", SHAPES)
def test_is_exact(host: Any, name: str) -> None:
    """Also the halo, which is full of the output's zero point: `Tensor.store` puts it there."""
    workload = SHAPES[name]
    inputs = integers_for(workload)
    expected = workload.output.store(reference(workload, inputs))
    assert expected.std() > 20, "too few results are neither 0 nor 255"
    configs = host.unoptimized().configs(workload, 4)
    for config, memory in zip(configs, host.unoptimized().run(workload, inputs, configs), strict=True):
        top, left, _, _ = workload.output.halo
        channels = workload.output.shape[1] % 16
        last = slice(None, channels) if channels else slice(None)
        assert np.array_equal(memory[:, :-1], expected[:, :-1]), config
        assert np.array_equal(memory[:, -1, ..., last], expected[:, -1, ..., last]), config
        assert (memory[:, :, :top] == 5).all() and (memory[..., :left, :] == 5).all(), config  # noqa: PT018


@needs_bytes
def test_the_largest_products_do_not_saturate(host: Any) -> None:
    workload = integer_convolution((1, 128, 5, 5), 16, zero=0, halo=(0, 0, 0, 0), epilogue=call("to_float32", ACC))
    workload = Workload(
        workload.op,
        workload.inputs[:2],
        Tensor(workload.output.shape, "float32", 16),
        workload.attrs,
        workload.epilogue,
    )
    inputs = [np.full((1, 128, 5, 5), 255, np.uint8), np.full((16, 128, 3, 3), -128, np.int8)]
    (memory,) = host.run(workload, inputs, host.configs(workload, 0))
    assert workload.output.restore(memory)[0, 0, 2, 2] == -128 * 255 * 128 * 9


@needs_bytes
def test_reads_and_writes_quantised_and_float_operands(host: Any) -> None:
    """A residual of bytes is added; the result is stored as floats."""
    plain = integer_convolution((1, 32, 6, 6), 32, halo=(0, 0, 0, 0))
    residual = Tensor(plain.output.shape, "uint8", 16)
    epilogue = call("add", call("mul", call("to_float32", ACC), Arg(2)), call("to_float32", Arg(4)))
    output = Tensor(plain.output.shape, "float32", 16)
    workload = Workload(plain.op, (*plain.inputs, residual), output, plain.attrs, epilogue)
    random = np.random.default_rng(1)
    inputs = [*integers_for(plain), random.integers(0, 256, residual.shape).astype(np.uint8)]
    host.check(workload, 2, inputs)


def test_is_only_for_machines_that_multiply_bytes() -> None:
    workload = integer_convolution((1, 16, 6, 6), 16)
    assert not IntegerConv2d().accepts(workload, parse_target("x86-64-v4", 1))
    assert not IntegerConv2d().accepts(workload, parse_target("aarch64", 1))
