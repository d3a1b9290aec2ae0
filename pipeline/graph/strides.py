"""Views of tensors through strides; numpy computes them, on memory that nobody reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tvmopt.pipeline.graph.ir import Array
from tvmopt.schedules.llvm.memory_bound.copied import merged
from tvmopt.schedules.workload import Attr, Tensor

_NOWHERE = np.zeros(1, np.uint8)
"""Elements of a byte: strides in bytes are strides in elements."""


@dataclass(frozen=True, slots=True)
class StridedView:
    """A view of a value.

    Attributes:
        source: the value's name.
        elements: an array with the view's shape and strides; only its layout means anything.
    """

    source: str
    elements: Array

    @staticmethod
    def whole(source: str, shape: Sequence[int]) -> StridedView:
        """All elements in row-major order."""
        return StridedView(source, np.lib.stride_tricks.as_strided(_NOWHERE, shape, _row_major(shape)))

    def reshaped(self, shape: Sequence[int]) -> StridedView | None:
        """The same elements in another shape; None where that is no view."""
        try:
            return StridedView(self.source, np.reshape(self.elements, shape, copy=False))
        except ValueError:
            return None

    def attrs(self) -> dict[str, Attr]:
        """Attributes of the ``copy`` that makes the view a value."""
        first = self.elements.__array_interface__["data"][0] - _NOWHERE.__array_interface__["data"][0]
        strides = [0 if size == 1 else stride for size, stride in zip(self._sizes, self.elements.strides, strict=True)]
        return {"sizes": self._sizes, "strides": tuple(int(stride) for stride in strides), "offset": int(first)}

    @property
    def _sizes(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.elements.shape)


def through_blocks(attrs: dict[str, Attr], tensor: Tensor) -> dict[str, Attr] | None:
    """The copy of a plain feature map as one of the same map in blocks and with a halo; None where there is none.

    Args:
        attrs: of the copy, for the map in row-major order.
        tensor: the map's layout.
    """
    sizes, strides, offset = attrs["sizes"], attrs["strides"], attrs["offset"]
    assert isinstance(sizes, tuple)
    assert isinstance(strides, tuple)
    assert isinstance(offset, int)
    plain = _row_major(tensor.shape)
    first = [offset // step % extent for step, extent in zip(plain, tensor.shape, strict=True)]
    if first[1] % tensor.block:
        return None
    # As it is written, a dimension may be part of an axis of the map; merged, several may be a whole one.
    made = _in_blocks(sizes, strides, tensor, first) or _in_blocks(*merged(sizes, strides), tensor, first)
    if made is None:
        return None
    places = (first[0], first[1] // tensor.block, first[2] + tensor.halo[0], first[3] + tensor.halo[1])
    begin = sum(place * step for place, step in zip(places, _row_major(tensor.physical_shape)[:4], strict=True))
    return {"sizes": tuple(size for size, _ in made), "strides": tuple(stride for _, stride in made), "offset": begin}


def _in_blocks(
    sizes: Sequence[int], strides: Sequence[int], tensor: Tensor, first: Sequence[int]
) -> list[tuple[int, int]] | None:
    """Sizes and strides in the map's memory. Only rows of channels may end within a block; see the template `Copy`."""
    steps, made = _row_major(tensor.physical_shape), list[tuple[int, int]]()
    cut = False
    for size, stride in zip(sizes, strides, strict=True):
        parts = _along_axes(size, stride, tensor.shape, first)
        if parts is None or (cut and parts):
            return None
        for axis, count in parts:
            if cut:
                return None
            if axis != 1:
                made.append((count, steps[axis]))
            else:
                made += [(math.ceil(count / tensor.block), steps[1]), (tensor.block, 1)]
                cut = count % tensor.block != 0
    return made


def _along_axes(size: int, stride: int, shape: tuple[int, ...], first: Sequence[int]) -> list[tuple[int, int]] | None:
    """The axes of a map that a dimension of a view runs along, and how far: one, or all of two neighbours."""
    if size == 1:
        return []
    for axis, step in enumerate(_row_major(shape)):
        if step != stride or shape[axis] == 1:
            continue
        if first[axis] + size <= shape[axis]:
            return [(axis, size)]
        if axis > 0 and size == shape[axis] * shape[axis - 1] and first[axis] == first[axis - 1] == 0:
            return [(axis - 1, shape[axis - 1]), (axis, shape[axis])]
    return None


def _row_major(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
