from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor


@pytest.mark.parametrize("order", ["CRD", "DCR"])
@pytest.mark.parametrize("blocked", [True, False])
@pytest.mark.parametrize("size", [(6, 15), (5, 13)])
def test_matches_pytorch(kernels: Any, make: Any, target: Target, order: str, blocked: bool, size: Any) -> None:
    """Squares of two rows and three columns; the last may be cut."""
    import torch

    block, halo = (target.lanes("float32"), (1, 0, 2, 1)) if blocked else (1, (0, 0, 0, 0))
    data = np.random.default_rng(0).standard_normal((2, 7 * 6, 3, 5), np.float32)
    sizes, places = (
        ((2, 7, 2, 3, 3, 5), (0, 1, 4, 2, 5, 3)) if order == "CRD" else ((2, 2, 3, 7, 3, 5), (0, 3, 4, 1, 5, 2))
    )
    parts = torch.from_numpy(data).reshape(sizes).permute(places).reshape(2, 7, 6, 15)
    source, result = Tensor(data.shape, block=block, halo=halo), Tensor((2, 7, *size))
    workload = make("depth_to_space", (source,), result, strides=(2, 3), order=order)
    kernels.unoptimized().check(workload, 0, [data], parts.numpy()[:, :, : size[0], : size[1]])
