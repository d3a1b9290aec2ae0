"""Finds a model's weights in the files that it was imported from: as they are stored there, or transposed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.importers.base import Stored, StoredTensor
from tvmopt.pipeline.importers.recalling.file_hash import Bytes, map_files
from tvmopt.pipeline.support.memory import let_go

Array = npt.NDArray[Any]

_AT_ONCE = 1 << 20
"""Elements that are compared at once."""
_WIDEST = 8
"""The most bytes of an element that are compared as one number."""


class Weight(NamedTuple):
    """Where the elements of a weight are.

    Attributes:
        file: number of the file in `Stored.files`.
        offset: where the first element begins, in bytes.
        transposed: whether the file has the columns of a matrix one after the other, rather than its rows.
    """

    file: int
    offset: int
    transposed: bool


class StoredWeights:
    """Finds arrays in the files of `stored`."""

    def __init__(self, stored: Stored) -> None:
        self._contents = map_files(stored.files)
        self._by_size: dict[int, list[StoredTensor]] = {}
        for tensor in stored.tensors:
            self._by_size.setdefault(tensor.nbytes, []).append(tensor)

    def find(self, array: Array) -> Weight | None:
        """Where the elements of `array`, which is contiguous, are in the files; None if they are nowhere there.

        They are compared bit by bit.

        Raises:
            OSError: a file cannot be read.
        """
        candidates = self._by_size.get(array.nbytes, []) if array.itemsize <= _WIDEST else []
        matches = (_match(array, tensor, self._contents[tensor.file]) for tensor in candidates)
        return next((weight for weight in matches if weight is not None), None)


def take_weight(weight: Weight, contents: Sequence[Array], shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """The array at `weight` in the files' `contents`; it is a view of them that may not be written.

    Raises:
        ValueError: the files are too short.
    """
    stored_shape = shape[::-1] if weight.transposed else shape
    count = int(np.prod(shape, dtype=np.int64))
    array = np.frombuffer(contents[weight.file].data, dtype, count, weight.offset).reshape(stored_shape)
    array.flags.writeable = False
    return array.T if weight.transposed else array


def _match(array: Array, tensor: StoredTensor, content: Bytes) -> Weight | None:
    """Where `array` is if it is `tensor`, or its transpose."""
    if content.size < tensor.offset + tensor.nbytes:
        raise OSError("the file was cut short")
    flat = _bits(array.reshape(-1))
    there = content[tensor.offset : tensor.offset + tensor.nbytes].view(flat.dtype)
    if not (there[:1] == flat[:1] and there[-1:] == flat[-1:]):  # so it is in the transpose, too
        return None
    try:
        if _same(flat, there):
            return Weight(tensor.file, tensor.offset, False)
        if array.ndim == 2 and _same(_bits(array), there.reshape(array.shape[::-1]).T):
            return Weight(tensor.file, tensor.offset, True)
        return None
    finally:
        let_go(there)


def _same(left: Array, right: Array) -> bool:
    """Whether two arrays of one shape are equal; part by part, so that the results of comparing stay small."""
    step = max(1, _AT_ONCE * len(left) // max(1, left.size))
    return all(np.array_equal(left[i : i + step], right[i : i + step]) for i in range(0, len(left), step))


def _bits(array: Array) -> Array:
    """The elements as whole numbers: a NaN equals itself."""
    return array.view(f"u{array.itemsize}")
