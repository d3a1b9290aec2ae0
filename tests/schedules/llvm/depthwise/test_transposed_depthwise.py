from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.workloads.convolutions import transposed, transposed_by_torch, transposed_with_epilogue
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target

# Sizes are prime or odd on purpose: every tile has a tail, and so have the channels.
SHAPES: dict[str, tuple[tuple[int, int, int, int], dict[str, Any]]] = {
    "twice as large": ((2, 19, 5, 7), {"kernel": (2, 2), "strides": (2, 2)}),
    "interpolation": ((1, 21, 5, 7), {"kernel": (4, 4), "strides": (2, 2), "pads": (1, 1), "size": (10, 14)}),
    "phases of several sizes": ((1, 17, 5, 4), {"kernel": (3, 5), "strides": (2, 3), "size": (11, 13)}),
    "a stride larger than the kernel": ((1, 5, 4, 3), {"kernel": (2, 1), "strides": (3, 4), "size": (14, 12)}),
    "dilated": ((1, 7, 4, 5), {"kernel": (3, 2), "strides": (2, 3), "dilations": (2, 2), "pads": (1, 2)}),
    "a line": ((1, 23, 1, 11), {"kernel": (1, 16), "strides": (1, 8), "pads": (0, 4)}),
    "into a halo": (
        (2, 33, 3, 5),
        {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1), "size": (5, 9), "halo": (1, 2, 3, 1)},
    ),
}


@pytest.mark.sweep
@pytest.mark.parametrize("name", SHAPES)
def test_matches_pytorch(kernels: Any, target: Target, inputs_of: Callable[..., Any], name: str) -> None:
    data, options = SHAPES[name]
    workload = transposed(target.lanes("float32"), data, data[1], groups=data[1], **options)
    assert template_for(workload, target).name == "transposed_depthwise"
    arrays = inputs_of(workload)
    kernels.unoptimized().check(workload, 4, arrays, transposed_by_torch(workload, arrays))


def test_epilogues_fuse(kernels: Any, target: Target, inputs_of: Callable[..., Any]) -> None:
    lanes = target.lanes("float32")
    workload = transposed_with_epilogue(lanes, lanes + 3, groups=lanes + 3)
    arrays = inputs_of(workload)
    kernels.check(workload, 2, arrays, np.tanh(transposed_by_torch(workload, arrays) + arrays[2] + arrays[3]))


def test_infinity_and_nan_stay_where_they_belong(kernels: Any, target: Target, inputs_of: Callable[..., Any]) -> None:
    options: dict[str, Any] = {"strides": (2, 3), "pads": (1, 1)}
    workload = transposed(target.lanes("float32"), (1, 5, 4, 6), 5, (3, 4), groups=5, **options)
    arrays = inputs_of(workload)
    arrays[0][0, 1, 2, 3], arrays[0][0, 2, 0, 5] = np.inf, np.nan
    config = template_for(workload, target).default(workload, target)
    (memory,) = kernels.unoptimized().run(workload, arrays, [config])
    np.testing.assert_allclose(
        workload.output.restore(memory), transposed_by_torch(workload, arrays), rtol=1e-4, atol=1e-5
    )
