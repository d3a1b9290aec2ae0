from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.llvm.memory_bound.pad import has_source, merged
from tvmopt.schedules.workload import Tensor, Workload

CASES = [
    ((1,), [(0, 4)], "constant"),
    ((7,), [(3, 0)], "constant"),
    ((2, 3, 5, 37), [(0, 0), (0, 0), (1, 2), (3, 1)], "constant"),
    ((2, 3, 5, 7), [(0, 0), (1, 0), (0, 0), (0, 0)], "constant"),
    ((40, 50), [(-3, 2), (2, -7)], "constant"),
    ((4, 5), [(-3, 3), (0, 0)], "constant"),
    ((3, 33), [(2, 1), (5, 9)], "edge"),
    ((1, 1), [(2, 1), (1, 9)], "edge"),
    ((3, 33), [(2, 1), (32, 31)], "reflect"),
    ((2, 4, 5, 6), [(0, 0), (0, 0), (1, 2), (3, 0)], "reflect"),
    ((2, 4, 5, 6), [(0, 0), (0, 0), (0, 4), (0, 5)], "reflect"),
    ((3, 9), [(2, 7), (20, 19)], "wrap"),
]


def pad(data: np.ndarray, amounts: list[tuple[int, int]], mode: str, fill: float) -> tuple[Workload, np.ndarray]:
    """The workload, and its result as numpy has it."""
    padded = np.pad(
        data,
        [(max(a, 0), max(b, 0)) for a, b in amounts],
        mode,  # type: ignore[call-overload]
        **({"constant_values": fill} if mode == "constant" else {}),
    )
    kept = tuple(slice(max(-a, 0), size - max(-b, 0)) for (a, b), size in zip(amounts, padded.shape, strict=True))
    before, after = (tuple(pair[i] for pair in amounts) for i in range(2))
    attrs = {"after": after, "before": before, "fill": fill, "mode": mode}
    expected = padded[kept]
    tensors = Tensor(data.shape, data.dtype.name), Tensor(expected.shape, data.dtype.name)
    return Workload("pad", tensors[:1], tensors[1], tuple(attrs.items())), expected


@pytest.mark.sweep
@pytest.mark.parametrize(("shape", "amounts", "mode"), CASES)
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_all_modes(kernels: Any, shape: Any, amounts: Any, mode: str, dtype: str) -> None:
    data = (np.arange(np.prod(shape)) + 1).astype(dtype).reshape(shape)
    workload, expected = pad(data, amounts, mode, -2.0)
    (made,) = kernels.unoptimized().run(workload, [data], [{}])
    np.testing.assert_array_equal(made, expected)


def test_infinity_is_a_number_to_add(host: Any) -> None:
    data = np.array([[1, np.nan, -0.0]], np.float32)
    workload, expected = pad(data, [(1, 0), (0, 9)], "constant", -np.inf)
    (made,) = host.run(Workload.from_json(workload.to_json()), [data], [{}])
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize(
    ("axis", "mode", "possible"),
    [
        ((3, -2, 0), "constant", True),
        ((3, -2, -1), "constant", False),
        ((3, -2, 3), "edge", False),
        ((3, 2, 2), "reflect", True),
        ((3, 3, 0), "reflect", False),
        ((1, 5, 5), "wrap", True),
    ],
)
def test_elements_that_are_added_have_a_source(axis: Any, mode: str, possible: bool) -> None:
    assert has_source(axis, mode) is possible


def test_neighbours_without_padding_are_one_axis() -> None:
    assert merged([(2, 0, 0), (3, 0, 0), (5, 1, 0), (7, 0, 0), (2, 0, 0)]) == ((6, 0, 0), (5, 1, 0), (14, 0, 0))
