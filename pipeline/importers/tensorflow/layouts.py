"""The layouts that a value of a framework with channels last can have in the ONNX form."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def layouts(array: np.ndarray, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """`array`, and with channels first instead of last, where that gives `shape`."""
    if array.shape == shape:
        yield array
    if array.ndim > 2:
        first = np.moveaxis(array, -1, 1)
        if first.shape == shape:
            yield np.asarray(first, order="C")
