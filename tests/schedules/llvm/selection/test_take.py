from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.workload import Tensor, Workload


@pytest.mark.parametrize(
    ("data", "places", "sizes"),
    [
        ((1, 5, 1), (1, 1, 1), (5,)),
        ((1, 9, 70), (1, 33, 1), (9,)),
        ((3, 6, 5), (1, 7, 1), (6,)),
        ((1, 30, 19), (1, 11, 2), (5, 6)),
        ((4, 30, 3), (4, 11, 3), (2, 3, 5)),
        ((2, 7, 5000), (2, 3, 1), (7,)),
    ],
)
@pytest.mark.parametrize(("dtype", "kind"), [("float32", "int64"), ("int64", "int32"), ("float16", "int64")])
def test_rows_by_places(host: Any, data: Any, places: Any, sizes: Any, dtype: str, kind: str) -> None:
    output = Tensor((data[0], places[1], data[2]), dtype)
    workload = Workload("take", (Tensor(data, dtype), Tensor(places, kind)), output, (("sizes", sizes),))
    random = np.random.default_rng(0)
    table = (np.arange(np.prod(data)) % 500).astype(dtype).reshape(data)
    chosen = np.stack([random.integers(0, size, places[:2]) for size in sizes], axis=-1).astype(kind)
    (made,) = host.unoptimized().run(workload, [table, chosen], [{}])
    np.testing.assert_array_equal(made, reference(workload, [table, chosen]))
