"""How large sums of products of bytes can become."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.workload import Workload

WIDE = "wide"
"""The attribute of a convolution of integers with a window whose sums may reach `NARROW`; absent where they do not."""

NARROW = 1 << 25
"""What narrow sums stay below, whatever the data: some algorithms get multiples of them, up to 64 times as large."""


def largest_sum(weights: npt.NDArray[Any]) -> int:
    """The largest magnitude of a sum of products with data of uint8, by any output channel of `weights`, int8."""
    by_channel = weights.reshape(len(weights), -1).astype(np.int64)
    positive, negative = np.maximum(by_channel, 0).sum(axis=1), np.maximum(-by_channel, 0).sum(axis=1)
    return int(np.maximum(positive, negative).max(initial=0)) * 255


def sums_are_wide(workload: Workload) -> bool:
    """Whether sums of a convolution of integers may reach `NARROW`."""
    return any(name == WIDE for name, _ in workload.attrs)
