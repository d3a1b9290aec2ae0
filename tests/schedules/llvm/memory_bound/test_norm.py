from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.workload import Tensor

SCALED = call("add", call("mul", ACC, Arg(1)), Arg(2))
SILU = call("silu", SCALED)
KINDS = ["standard", "rms"]


def normalized(data: np.ndarray, axes: tuple[int, ...], kind: str) -> np.ndarray:
    """In float64, from scratch."""
    wide = data.astype(np.float64)
    mean = wide.mean(axis=axes, keepdims=True) if kind == "standard" else 0.0
    return (wide - mean) / np.sqrt(((wide - mean) ** 2).mean(axis=axes, keepdims=True) + 1e-5)


@pytest.mark.sweep
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "shape",
    [
        *((1, 1, 1, 1), (5, 1, 1, 7), (3, 1, 1, 64), (7, 1, 1, 192), (2, 1, 3, 13)),  # layer normalisation
        *((2, 3, 4, 49), (1, 3, 1, 37), (1, 2, 3, 2003), (5, 1, 1, 5003), (1, 1, 1, 40_000)),  # of groups; in chunks
    ],
)
def test_rows(kernels: Any, inputs_of: Any, make: Any, shape: Any, kind: str) -> None:
    factor = Tensor((1, *shape[1:3], 1) if shape[1] * shape[2] > 1 else (1, 1, 1, shape[3]))
    tensors = (Tensor(shape), factor, factor)
    workload = make("row_norm", tensors, Tensor(shape), SILU, kind=kind, epsilon=1e-5)
    arrays = inputs_of(workload)
    values = normalized(arrays[0], (2, 3), kind) * arrays[1] + arrays[2]
    expected = (values / (1 + np.exp(-values))).astype(np.float32)
    kernels.unoptimized().check(workload, 0, arrays, expected)


@pytest.mark.sweep
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("shape", "groups"),
    [
        *(((1, 5, 3, 4), 5), ((2, 35, 7, 9), 35), ((1, 16, 1, 601), 16)),  # each channel
        *(((1, 64, 5, 6), 32), ((1, 24, 5, 6), 3)),  # several groups in a block, or one
        *(((2, 40, 6, 6), 4), ((1, 48, 20, 20), 3), ((1, 36, 2, 3), 1), ((1, 20, 31, 40), 2)),  # groups across blocks
    ],
)
def test_maps(kernels: Any, inputs_of: Any, make: Any, shape: Any, groups: int, kind: str) -> None:
    lanes = kernels.target.lanes("float32")
    data, output = (Tensor(shape, block=lanes, halo=halo) for halo in ((1, 0, 2, 1), (0, 1, 1, 0)))
    factor = Tensor((1, shape[1], 1, 1), block=lanes)
    attrs = {"kind": kind, "epsilon": 1e-5, "groups": groups}
    workload = make("map_norm", (data, factor, factor), output, SILU, **attrs)
    arrays = inputs_of(workload)
    grouped = arrays[0].reshape(shape[0], groups, -1)
    values = normalized(grouped, (2,), kind).reshape(shape) * arrays[1] + arrays[2]
    kernels.unoptimized().check(workload, 0, arrays, (values / (1 + np.exp(-values))).astype(np.float32))


@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_long_rows_stay_exact(host: Any, make: Any, offset: float) -> None:
    """Every element is within 1e-6 of what float64 gives, relative to the largest."""
    data = np.random.default_rng(0).random((1, 1, 1, 480_000), np.float32) + np.float32(offset)
    workload = make("row_norm", (Tensor(data.shape),), Tensor(data.shape), kind="standard", epsilon=1e-5)
    (result,) = host.run(workload, [data], [{}])
    expected = normalized(data, (3,), "standard")
    assert np.abs(result - expected).max() / np.abs(expected).max() < 1e-6 * (1 + offset)


def test_large_means_do_not_cancel(host: Any, make: Any) -> None:
    """The variance of 100, 101, 100, …: mean squares minus square means would give noise."""
    data = np.float32(100) + np.arange(2 * 9001, dtype=np.float32).reshape(2, 1, 1, 9001) % 2
    workload = make("row_norm", (Tensor(data.shape),), Tensor(data.shape), kind="standard", epsilon=1e-5)
    host.check(workload, 0, [data], normalized(data, (3,), "standard").astype(np.float32))


def test_rows_of_equal_values_are_zero(host: Any, make: Any) -> None:
    data = np.full((3, 1, 1, 100), 0.125, np.float32)
    workload = make("row_norm", (Tensor(data.shape),), Tensor(data.shape), kind="standard", epsilon=1e-5)
    host.check(workload, 0, [data], np.zeros_like(data))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_with_nan_or_infinity_is_nan_and_no_other(host: Any, make: Any, value: float) -> None:
    data = np.random.default_rng(0).standard_normal((3, 1, 1, 70)).astype(np.float32)
    data[1, 0, 0, 68] = value
    workload = make("row_norm", (Tensor(data.shape),), Tensor(data.shape), kind="standard", epsilon=1e-5)
    (result,) = host.run(workload, [data], [{}])
    # What of an infinite row is NaN and what is zero, implementations leave open.
    assert np.isnan(result[1, 0, 0, 68])
    assert np.isfinite(result[[0, 2]]).all()


def test_epsilon_zero_leaves_the_padding_of_a_block_finite(host: Any, make: Any, inputs_of: Any) -> None:
    """The padding's channels have no deviation: one divided by it is infinite, times zero NaN, which would spread."""
    lanes = host.target.lanes("float32")
    for groups in (lanes + 2, 2, 1):
        maps = Tensor((1, lanes + 2, 5, 5), block=lanes)
        host.check(make("map_norm", (maps,), maps, kind="standard", epsilon=0.0, groups=groups))
