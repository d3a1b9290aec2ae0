from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.workload import Tensor, Workload


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_places(kernels: Any, share: float) -> None:
    mask = np.random.default_rng(0).random(331) < share
    workload = Workload("find", (Tensor((331,), "bool"),), Tensor((331,), "int64"))
    (made,) = kernels.run(workload, [mask], [{}])
    np.testing.assert_array_equal(made, reference(workload, [mask]))
    np.testing.assert_array_equal(made[: mask.sum()], np.flatnonzero(mask))
