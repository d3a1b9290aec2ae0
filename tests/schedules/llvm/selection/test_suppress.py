from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.workloads.boxes import boxes_that_hurt, scores_that_hurt
from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.workload import Tensor, Workload


def suppress(scores: tuple[int, int, int], **attrs: Any) -> Workload:
    images, _, count = scores
    values = {"most": count, "overlap": 0.5, "limited": 1, "limit": 0.0, "center": 0, **attrs}
    inputs = (Tensor((images, count, 4)), Tensor(scores))
    return Workload("suppress", inputs, Tensor(scores), tuple(sorted(values.items())))


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("shape", "attrs"),
    [
        ((2, 3, 37), {"limited": 0}),
        ((1, 1, 1), {}),
        ((1, 2, 301), {"center": 1}),
        ((2, 3, 37), {"most": 3}),
        ((2, 3, 37), {"most": 0, "center": 1}),
        ((1, 2, 301), {"overlap": 0.0}),
        ((2, 1, 33), {"limit": 1e9}),
    ],
)
def test_marks(kernels: Any, shape: Any, attrs: dict[str, Any]) -> None:
    workload = suppress(shape, **attrs)
    arrays = [boxes_that_hurt(shape[0], shape[2]), scores_that_hurt(*shape)]
    (made,) = kernels.unoptimized().run(workload, arrays, [{}])
    np.testing.assert_array_equal(made, reference(workload, arrays))


@pytest.mark.parametrize("most", [1, 17, 203])
def test_places(kernels: Any, most: int) -> None:
    marked = suppress((2, 3, 203), most=most, overlap=0.3)
    workload = replace(marked, output=Tensor((2, 3, most), "int64"))
    arrays = [boxes_that_hurt(2, 203), scores_that_hurt(2, 3, 203)]
    (made,) = kernels.run(workload, arrays, [{}])
    np.testing.assert_array_equal(made, reference(workload, arrays))
    chosen = np.take(arrays[1][1, 2], made[1, 2][made[1, 2] >= 0])
    assert np.all(chosen[1:] <= chosen[:-1])  # the best come first


def test_optimised_code_marks_the_same(kernels: Any) -> None:
    workload = suppress((2, 3, 203), overlap=0.3)
    arrays = [boxes_that_hurt(2, 203), scores_that_hurt(2, 3, 203)]
    (made,) = kernels.run(workload, arrays, [{}])
    np.testing.assert_array_equal(made, reference(workload, arrays))
    assert 0 < made.sum() < np.sum(arrays[1] > 0)  # some boxes go
