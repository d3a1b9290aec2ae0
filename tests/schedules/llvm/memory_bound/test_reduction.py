from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.workload import Tensor

SHAPES = [
    (1, 1, 1),
    (3, 2, 1),
    (3, 7, 1),
    (2, 37, 1),
    (1, 64, 1),
    (5, 1, 3),
    (2, 13, 21),
    (3, 5, 16),
    (1, 17, 2),
    (4, 9, 33),
]


@pytest.mark.sweep
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["sum", "mean", "max", "min"])
def test_reductions(kernels: Any, inputs_of: Any, make: Any, shape: tuple[int, int, int], kind: str) -> None:
    workload = make("reduce", (Tensor(shape),), Tensor((shape[0], 1, shape[2])), kind=kind)
    arrays = inputs_of(workload)
    kernels.unoptimized().check(workload, 0, arrays, getattr(np, kind)(arrays[0], axis=1, keepdims=True))


@pytest.mark.sweep
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_softmax(kernels: Any, inputs_of: Any, make: Any, shape: tuple[int, int, int], scale: float) -> None:
    import torch

    workload = make("softmax", (Tensor(shape),), Tensor(shape))
    arrays = [scale * array for array in inputs_of(workload)]
    kernels.unoptimized().check(workload, 0, arrays, torch.softmax(torch.from_numpy(arrays[0]), 1).numpy())


@pytest.mark.parametrize("inner", [1, 5])
def test_softmax_of_masked_values(kernels: Any, make: Any, inner: int) -> None:
    data = np.zeros((2, 37, inner), np.float32)
    data[:, 5:] = -np.inf
    expected = np.where(np.arange(37)[None, :, None] < 5, np.float32(0.2), np.float32(0)) * np.ones_like(data)
    workload = make("softmax", (Tensor(data.shape),), Tensor(data.shape))
    kernels.check(workload, 0, [data], expected)


@pytest.mark.parametrize("shape", [(1, 100_000, 1), (2, 10_000, 3)])
def test_long_sums_stay_exact(kernels: Any, make: Any, shape: tuple[int, int, int]) -> None:
    data = np.random.default_rng(0).random(shape, np.float32)
    expected = data.astype(np.float64).sum(axis=1, keepdims=True).astype(np.float32)
    workload = make("reduce", (Tensor(shape),), Tensor((shape[0], 1, shape[2])), kind="sum")
    kernels.check(workload, 0, [data], expected)


@pytest.mark.parametrize(("kind", "value"), [("max", -np.inf), ("min", np.inf)])
@pytest.mark.parametrize("shape", [(1, 37, 1), (1, 3, 1), (1, 4, 19)])
def test_infinities_are_ordinary_values(
    kernels: Any, make: Any, kind: str, value: float, shape: tuple[int, int, int]
) -> None:
    workload = make("reduce", (Tensor(shape),), Tensor((shape[0], 1, shape[2])), kind=kind)
    kernels.check(workload, 0, [np.full(shape, value, np.float32)], np.full(workload.output.shape, value, np.float32))
