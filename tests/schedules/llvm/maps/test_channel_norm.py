"""Normalisation of pixels over their channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.schedules.llvm.maps.absent import run_beside
from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor

HALOS = [(0, 0, 0, 0), (1, 2, 0, 3)]
SCALED = call("add", call("mul", ACC, Arg(1)), Arg(2))


@pytest.mark.parametrize("kind", ["standard", "rms"])
@pytest.mark.parametrize("size", [(1, 1), (3, 7), (2, 70)])
def test_normalised_pixels(kernels: Any, make: Any, target: Target, size: tuple[int, int], kind: str) -> None:
    lanes = target.lanes("float32")
    for channels in (1, lanes - 1, lanes, 2 * lanes + 5):
        for halos in (HALOS, HALOS[:1] * 2):
            data, output = (Tensor((2, channels, *size), block=lanes, halo=halo) for halo in halos)
            factor = Tensor((1, channels, 1, 1), block=lanes)
            attrs = {"kind": kind, "epsilon": 1e-3}
            kernels.unoptimized().check(make("channel_norm", (data, factor, factor), output, SCALED, **attrs))


def test_functions_and_maps_in_the_epilogue(kernels: Any, make: Any, target: Target) -> None:
    maps = Tensor((1, 21, 5, 9), block=target.lanes("float32"))
    added = call("silu", call("add", ACC, Arg(1)))
    kernels.check(make("channel_norm", (maps, maps), maps, added, kind="standard", epsilon=1e-6))


def test_a_large_mean_does_not_cancel(host: Any, make: Any) -> None:
    lanes = host.target.lanes("float32")
    maps = Tensor((1, 3 * lanes + 1, 4, 4), block=lanes)
    data = (1000 + np.random.default_rng(0).standard_normal(maps.shape)).astype(np.float32)
    workload = make("channel_norm", (maps,), maps, kind="standard", epsilon=0.0)
    (memory,) = host.run(workload, [data], [{}])
    wide = data.astype(np.float64)
    wide -= wide.mean(1, keepdims=True)
    np.testing.assert_allclose(maps.restore(memory), wide / wide.std(1, keepdims=True), rtol=0, atol=2e-4)


def test_what_absent_channels_hold_does_not_matter(host: Any, make: Any) -> None:
    """They may hold any finite numbers."""
    lanes = host.target.lanes("float32")
    maps = Tensor((1, lanes + 1, 2, 3), block=lanes)
    data = np.random.default_rng(0).standard_normal(maps.shape).astype(np.float32)
    workload = make("channel_norm", (maps,), maps, kind="standard", epsilon=1e-5)
    made = run_beside(host, workload, data, absent=7.0)
    wide = data - data.mean(1, keepdims=True)
    np.testing.assert_allclose(maps.restore(made), wide / np.sqrt(wide.var(1, keepdims=True) + 1e-5), atol=1e-5)
    assert not made[:, -1, :, :, 1:].any()
