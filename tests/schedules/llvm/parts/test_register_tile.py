"""The register tile: what fits, what it costs, and that it really stays in registers."""

from __future__ import annotations

import numpy as np
import pytest

from tvmopt.schedules.expression import ACC, call
from tvmopt.schedules.llvm.convolution.direct import DirectConv2d
from tvmopt.schedules.llvm.parts.register_tile import channel_panels, covering, tile_cycles, tile_fits, useful_sizes
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Tensor, Workload

HEAP = "TVMBackendAllocWorkspace"


def convolution(target: Target) -> Workload:
    lanes = target.lanes("float32")
    data = Tensor((1, 2 * lanes, 14, 14), block=lanes, halo=(1, 1, 1, 1))
    attrs = (("dilations", (1, 1)), ("groups", 1), ("pads", (1, 1, 1, 1)), ("strides", (1, 1)))
    output = Tensor((1, 4 * lanes, 14, 14), block=lanes)
    return Workload("conv2d", (data, Tensor((4 * lanes, 2 * lanes, 3, 3))), output, attrs, call("relu", ACC))


@pytest.mark.parametrize("name", ["x86-64-v3", "x86-64-v4", "aarch64"])
@pytest.mark.parametrize("prefetch", [0, 512])
def test_accumulators_come_from_the_stack_even_between_threads(name: str, prefetch: int) -> None:
    import tvm

    target = parse_target(name, 2)
    workload = convolution(target)
    template = DirectConv2d()
    config = {**template.default(workload, target), "prefetch": prefetch}
    function = template.build(workload, target, config).with_attr("global_symbol", "kernel")
    library = tvm.compile(tvm.IRModule({"kernel": function}), target=tvm.target.Target(dict(target.tvm)))
    assert HEAP not in library.mod.inspect_source("ll")


@pytest.mark.parametrize("shape", [(3, 1), (5, 16), (2, 7, 33), (1, 3, 5, 64), (4, 0), (0, 9)])
@pytest.mark.parametrize("vectors", [1, 2, 3])
def test_panels_of_channels(shape: tuple[int, ...], vectors: int) -> None:
    """Also of an array whose rows do not follow each other in memory."""
    array = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape[::-1]).T
    lanes, width = 8, 8 * vectors
    padded = np.concatenate([array, np.zeros((*shape[:-1], -shape[-1] % lanes), np.float32)], axis=-1)
    wanted = [padded[..., first : first + width].ravel() for first in range(0, padded.shape[-1], width)]
    np.testing.assert_array_equal(channel_panels(array, vectors, lanes), np.concatenate([*wanted, np.empty(0)]))


def test_tile_fits_registers() -> None:
    avx512, avx2 = parse_target("x86-64-v4", 1), parse_target("x86-64-v3", 1)
    assert tile_fits(14, 2, avx512)
    assert not tile_fits(16, 2, avx512)
    assert tile_fits(6, 2, avx2)
    assert not tile_fits(7, 2, avx2)


def test_few_accumulators_wait_for_the_latency() -> None:
    target = parse_target("x86-64-v4", 1)
    assert tile_cycles(1, 1, True, target) == tile_cycles(2, 2, True, target)
    assert tile_cycles(14, 2, True, target) == pytest.approx(14.0)
    assert tile_cycles(14, 2, False, target) > tile_cycles(14, 2, True, target)


def test_sizes() -> None:
    assert covering(49, 14) == [(14, 3), (7, 1)]
    assert covering(28, 14) == [(14, 2)]
    assert covering(3, 14) == [(3, 1)]
    assert useful_sizes(12, 6, (4, 5, 50)) == (1, 2, 3, 4, 5, 6)
