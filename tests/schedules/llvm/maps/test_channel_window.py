"""Local response normalisation over neighbouring channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.schedules.llvm.maps.absent import run_beside
from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor

HALOS = [(0, 0, 0, 0), (1, 2, 0, 3)]
ALEXNET = {"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 1.0}


@pytest.mark.parametrize("window", [1, 2, 4, 5, 9])
@pytest.mark.parametrize("size", [(1, 1), (3, 7), (2, 70)])
def test_windows(kernels: Any, make: Any, target: Target, size: tuple[int, int], window: int) -> None:
    lanes = target.lanes("float32")
    for channels in (1, lanes - 1, lanes, 3 * lanes + 5):
        data, output = (Tensor((2, channels, *size), block=lanes, halo=halo) for halo in HALOS)
        factors = {"size": window, "alpha": 0.7, "beta": 0.75, "bias": 2.0}
        kernels.unoptimized().check(make("lrn", (data,), output, **factors))


@pytest.mark.parametrize("beta", [0.25, 0.5, 0.75, 1.0, 0.6, 1.75])
def test_powers(kernels: Any, make: Any, target: Target, beta: float) -> None:
    maps = Tensor((1, 21, 5, 9), block=target.lanes("float32"))
    added = call("relu", call("add", ACC, Arg(1)))
    kernels.check(make("lrn", (maps, maps), maps, added, size=3, alpha=1.5, beta=beta, bias=0.5))


def test_a_window_wider_than_a_block_has_no_kernel(make: Any, target: Target) -> None:
    lanes = target.lanes("float32")
    maps = Tensor((1, 4 * lanes, 5, 9), block=lanes)
    reaches = [{**ALEXNET, "size": size} for size in (2 * lanes + 1, 2 * lanes + 2)]
    assert template_for(make("lrn", (maps,), maps, **reaches[0]), target).name == "channel_window"
    with pytest.raises(LookupError, match="no template for lrn"):
        template_for(make("lrn", (maps,), maps, **reaches[1]), target)


def test_what_absent_channels_hold_does_not_matter(host: Any, make: Any) -> None:
    """Not even NaN, and without a bias a window of zeros is divided by zero."""
    lanes = host.target.lanes("float32")
    maps = Tensor((1, lanes + 1, 2, 3), block=lanes)
    data = np.random.default_rng(0).standard_normal(maps.shape).astype(np.float32)
    workload = make("lrn", (maps,), maps, **{**ALEXNET, "alpha": 1.0, "bias": 0.0})
    made = run_beside(host, workload, data, absent=np.nan)
    squares = np.pad(data.astype(np.float64) ** 2, [(0, 0), (2, 2), (0, 0), (0, 0)])
    total = sum(squares[:, first : first + lanes + 1] for first in range(5)) / 5
    np.testing.assert_allclose(maps.restore(made), data / total**0.75, rtol=1e-5)
    assert not made[:, -1, :, :, 1:].any()


@pytest.mark.parametrize("beta", [0.75, 1.0])
@pytest.mark.parametrize(("alpha", "bias"), [(1.0, 0.0), (1.0, -0.3), (-1.0, 0.5)])
def test_values_that_hurt(host: Any, make: Any, alpha: float, bias: float, beta: float) -> None:
    """Infinite elements are NaN and take their neighbours to zero; NaN spreads over its window; bases are negative."""
    lanes = host.target.lanes("float32")
    maps = Tensor((1, 2 * lanes, 1, 4), block=lanes)
    data = np.ones(maps.shape, np.float32)
    data[0, lanes, 0, :] = [np.inf, -np.inf, np.nan, 1e20]
    data[0, 0, 0, :] = [-0.0, 1e-30, -1e-30, 0.0]
    workload = make("lrn", (maps,), maps, size=5, alpha=alpha, beta=beta, bias=bias)
    (memory,) = host.run(workload, [data], [{}])
    with np.errstate(all="ignore"):
        squares = np.pad(np.square(data), [(0, 0), (2, 2), (0, 0), (0, 0)])
        base = np.float32(bias) + np.float32(alpha / 5) * sum(
            squares[:, first : first + 2 * lanes] for first in range(5)
        )
        expected = data / np.power(base, np.float32(beta))
    np.testing.assert_allclose(maps.restore(memory), expected, rtol=1e-5)
