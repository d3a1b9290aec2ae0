from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.workloads.convolutions import transposed, transposed_by_torch, transposed_with_epilogue
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

# Sizes are prime or odd on purpose: every tile has a tail, and so have the channels.
SHAPES: dict[str, tuple[tuple[int, int, int, int], int, dict[str, Any]]] = {
    "one of everything": ((1, 1, 1, 1), 1, {}),
    "no stride": ((1, 5, 3, 4), 7, {"kernel": (3, 2), "pads": (1, 0)}),
    "twice as large": ((2, 19, 5, 7), 37, {"kernel": (2, 2), "strides": (2, 2)}),
    "taps that overlap": ((1, 19, 5, 7), 21, {"kernel": (4, 4), "strides": (2, 2), "pads": (1, 1), "size": (10, 14)}),
    "phases of several sizes": ((1, 17, 5, 4), 18, {"kernel": (3, 5), "strides": (2, 3), "size": (11, 13)}),
    "padded output": ((1, 16, 4, 3), 16, {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1), "size": (8, 6)}),
    "a stride larger than the kernel": ((1, 5, 4, 3), 9, {"kernel": (2, 1), "strides": (3, 4), "size": (14, 12)}),
    "dilated": ((1, 7, 4, 5), 9, {"kernel": (3, 2), "strides": (2, 3), "dilations": (2, 2), "pads": (1, 2)}),
    "a line": ((1, 23, 1, 11), 3, {"kernel": (1, 16), "strides": (1, 8), "pads": (0, 4)}),
    "into a halo": (
        (1, 6, 3, 5),
        33,
        {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1), "size": (5, 9), "halo": (1, 2, 3, 1)},
    ),
    "a line into a halo": ((1, 6, 1, 5), 17, {"kernel": (1, 4), "strides": (1, 2), "halo": (1, 2, 0, 1)}),
}


@pytest.mark.sweep
@pytest.mark.parametrize("name", SHAPES)
def test_matches_pytorch(kernels: Any, target: Target, inputs_of: Callable[..., Any], name: str) -> None:
    data, channels, options = SHAPES[name]
    workload = transposed(target.lanes("float32"), data, channels, **options)
    arrays = inputs_of(workload)
    kernels.unoptimized().check(workload, 2, arrays, transposed_by_torch(workload, arrays))


def test_groups(kernels: Any, target: Target, inputs_of: Callable[..., Any]) -> None:
    lanes = target.lanes("float32")
    options: dict[str, Any] = {"strides": (2, 2), "pads": (1, 1), "groups": 2}
    workload = transposed(lanes, (2, 2 * lanes, 3, 5), 4 * lanes, (3, 3), **options)
    arrays = inputs_of(workload)
    kernels.unoptimized().check(workload, 3, arrays, transposed_by_torch(workload, arrays))


def test_epilogues_fuse(kernels: Any, target: Target, inputs_of: Callable[..., Any]) -> None:
    workload = transposed_with_epilogue(target.lanes("float32"), 9)
    arrays = inputs_of(workload)
    expected = np.tanh(transposed_by_torch(workload, arrays) + arrays[2] + arrays[3])
    kernels.check(workload, 2, arrays, expected)


def test_what_it_refuses(target: Target) -> None:
    lanes = target.lanes("float32")
    narrow = transposed(lanes, (1, 4, 3, 3), 4, (2, 2), groups=2)
    plain = transposed(lanes, (1, 4, 3, 3), 4, (2, 2))
    plain = Workload(plain.op, (Tensor((1, 4, 3, 3)), *plain.inputs[1:]), plain.output, plain.attrs)
    for workload in (narrow, plain):
        with pytest.raises(LookupError):
            template_for(workload, target)
