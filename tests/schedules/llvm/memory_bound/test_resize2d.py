from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload


def tables(random: np.random.Generator, before: int, after: int, taps: int) -> tuple[np.ndarray, np.ndarray]:
    index = random.integers(0, before, (after, taps)).astype(np.int32).ravel()
    weight = random.random((after, taps), np.float32).ravel() if taps > 1 else np.ones(after, np.float32)
    return index, weight


@pytest.mark.sweep
@pytest.mark.parametrize("taps", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 20])
@pytest.mark.parametrize("sizes", [((5, 6), (3, 3)), ((1, 1), (4, 7)), ((3, 2), (7, 5))])
def test_resize(kernels: Any, make: Any, target: Target, taps: int, channels: int, sizes: Any) -> None:
    (height, width), (rows, columns) = sizes
    random, lanes = np.random.default_rng(0), target.lanes("float32")
    arrays = [random.standard_normal((2, channels, height, width), np.float32)]
    arrays += [*tables(random, height, rows, taps), *tables(random, width, columns, taps)]
    workload = resize(make, Tensor(arrays[0].shape, block=lanes, halo=(1, 0, 2, 1)), arrays, taps)
    kernels.unoptimized().check(workload, 0, arrays)


def resize(make: Any, data: Tensor, arrays: list[np.ndarray], taps: int) -> Workload:
    rows, columns = arrays[1].size // taps, arrays[3].size // taps
    output = Tensor((*data.shape[:2], rows, columns), block=data.block, halo=(1, 1, 1, 0))
    return make("resize2d", (data, *(Tensor(x.shape, str(x.dtype)) for x in arrays[1:])), output, taps=taps)


def test_nearest_repeats_pixels(kernels: Any, make: Any, target: Target) -> None:
    data = np.random.default_rng(0).standard_normal((1, 5, 3, 4), np.float32)
    tables_of = [np.repeat(np.arange(size, dtype=np.int32), 2) for size in (3, 4)]
    arrays = [data, tables_of[0], np.ones(6, np.float32), tables_of[1], np.ones(8, np.float32)]
    workload = resize(make, Tensor(data.shape, block=target.lanes("float32")), arrays, 1)
    kernels.check(workload, 0, arrays, data.repeat(2, axis=2).repeat(2, axis=3))


@pytest.mark.parametrize("channels", [1, 20])
def test_what_is_added_and_applied_behind(kernels: Any, make: Any, target: Target, channels: int) -> None:
    random, lanes = np.random.default_rng(0), target.lanes("float32")
    arrays = [random.standard_normal((2, channels, 3, 2), np.float32), *tables(random, 3, 5, 2)]
    arrays += [*tables(random, 2, 7, 2), random.standard_normal((2, channels, 5, 7), np.float32)]
    arrays.append(random.standard_normal((1, channels, 1, 1), np.float32))
    arrays[5][0, 0, 1, 2], arrays[5][1, 0, 4, 6] = np.inf, -np.inf
    maps = [Tensor(arrays[i].shape, block=lanes, halo=halo) for i, halo in ((0, (0,) * 4), (5, (0, 1, 2, 0)))]
    numbers = [Tensor(x.shape, str(x.dtype)) for x in arrays[1:5]]
    inputs = (maps[0], *numbers, maps[1], Tensor(arrays[6].shape, block=lanes))
    epilogue = call("relu", call("add", call("add", ACC, Arg(5)), Arg(6)))
    output = Tensor((2, channels, 5, 7), block=lanes, halo=(1, 1, 1, 0))
    kernels.check(make("resize2d", inputs, output, epilogue, taps=2), 0, arrays)
