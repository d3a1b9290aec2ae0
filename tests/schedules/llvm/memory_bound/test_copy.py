from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.llvm.memory_bound.copied import is_slice, merged
from tvmopt.schedules.workload import Tensor, Workload


def copy_of(source: np.ndarray, view: np.ndarray) -> Workload:
    """The copy of a view of `source`."""
    item = source.itemsize
    offset = (view.__array_interface__["data"][0] - source.__array_interface__["data"][0]) // item
    attrs = {"offset": offset, "sizes": view.shape, "strides": tuple(stride // item for stride in view.strides)}
    tensors = (Tensor(array.shape, array.dtype.name) for array in (source, view))
    data, result = tensors
    return Workload("copy", (data,), result, tuple(sorted(attrs.items())))


VIEWS = {
    "transpose": ((1, 50, 64), lambda x: x.transpose(0, 2, 1)),
    "odd transpose": ((19, 37), lambda x: x.T),
    "images to rows of channels": ((2, 33, 5, 7), lambda x: x.transpose(0, 2, 3, 1)),
    "rows of channels to images": ((2, 5, 7, 33), lambda x: x.transpose(0, 3, 1, 2)),
    "heads": ((1, 12, 37, 20), lambda x: x.transpose(0, 2, 1, 3)),
    "reversed": ((7, 5, 3), lambda x: x.transpose(2, 1, 0)),
    "long transpose": ((1100, 17), lambda x: x.T),
    "narrow transpose": ((3, 100), lambda x: x.T),
    "slice": ((40, 50), lambda x: x[3:37:2, 5:]),
    "backwards": ((40, 50), lambda x: x[::-1, ::-1]),
    "steps of a transpose": ((60, 41), lambda x: x[::3].T),
    "repeated columns": ((6, 1), lambda x: np.broadcast_to(x, (4, 6, 35))),
    "repeated rows": ((1, 35), lambda x: np.broadcast_to(x, (6, 35))),
    "one element": ((3, 4), lambda x: x[2:, 3:]),
    "part of a row": ((3000,), lambda x: x[7:2900]),
}


@pytest.mark.sweep
@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
def test_copies_of_views(kernels: Any, name: str, dtype: str) -> None:
    shape, view = VIEWS[name]
    source = np.arange(np.prod(shape)).astype(dtype).reshape(shape)
    kernels.unoptimized().check(copy_of(source, view(source)), 0, [source], view(source))


def test_maps_in_blocks_are_read_where_they_are(kernels: Any, inputs_of: Any) -> None:
    """Images in blocks with a halo, as rows of channels."""
    block = kernels.target.lanes("float32")
    data = Tensor((2, 2 * block, 5, 6), block=block, halo=(1, 2, 0, 1))
    rows, columns = 6, 9
    plane = rows * columns * block
    attrs = {
        "offset": (columns + 2) * block,
        "sizes": (2, 5, 6, 2, block),
        "strides": (2 * plane, columns * block, block, plane, 1),
    }
    workload = Workload("copy", (data,), Tensor((2, 5, 6, 2 * block)), tuple(sorted(attrs.items())))
    arrays = inputs_of(workload)
    kernels.check(workload, 0, arrays, np.ascontiguousarray(arrays[0].transpose(0, 2, 3, 1)))


@pytest.mark.parametrize("channels", [1, 5, 15, 17, 39])
@pytest.mark.parametrize("shape", [(2, 5, 6), (1, 1, 1), (3, 1, 1), (1, 40, 70)])
def test_rows_of_channels_may_end_within_a_block(kernels: Any, inputs_of: Any, shape: Any, channels: int) -> None:
    """Some of 40 channels in blocks with a halo, as rows."""
    block = kernels.target.lanes("float32")
    images, rows, columns = shape
    data = Tensor((images, 40, rows, columns), block=block, halo=(1, 2, 0, 1))
    line, plane = (columns + 3) * block, (rows + 1) * (columns + 3) * block
    attrs = {
        "offset": line + 2 * block,
        "sizes": (*shape, -(-channels // block), block),
        "strides": (-(-40 // block) * plane, line, block, plane, 1),
    }
    workload = Workload("copy", (data,), Tensor((*shape, channels)), tuple(sorted(attrs.items())))
    arrays = inputs_of(workload)
    arrays[0].reshape(-1)[:3] = np.nan, np.inf, -0.0
    kernels.check(workload, 0, arrays, np.ascontiguousarray(arrays[0][:, :channels].transpose(0, 2, 3, 1)))


@pytest.mark.parametrize(
    ("sizes", "strides", "expected"),
    [
        ((2, 3, 4), (12, 4, 1), ((24,), (1,))),
        ((2, 3, 4), (24, 4, 1), ((2, 12), (24, 1))),
        ((5, 1, 4), (1, 99, 5), ((5, 4), (1, 5))),
        ((1, 1), (0, 0), ((1,), (1,))),
        ((2, 3), (0, 0), ((6,), (0,))),
    ],
)
def test_dimensions_are_merged(sizes: Any, strides: Any, expected: Any) -> None:
    assert merged(sizes, strides) == expected


@pytest.mark.parametrize(
    ("view", "slices"),
    [(lambda x: x[1:3], True), (lambda x: x[2:3, 1:3], True), (lambda x: x[:, 1:], False), (lambda x: x.T, False)],
)
def test_slices_are_parts_in_order(view: Any, slices: bool) -> None:
    source = np.zeros((5, 7), np.float32)
    assert is_slice(copy_of(source, view(source))) is slices


@pytest.mark.parametrize("shapes", [[(1, 3000), (1, 5), (1, 9000)], [(5, 33), (5, 1), (5, 16)], [(300, 40), (300, 40)]])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_rows_are_concatenated(kernels: Any, shapes: Any, dtype: str) -> None:
    arrays = [np.arange(np.prod(shape)).astype(dtype).reshape(shape) + i for i, shape in enumerate(shapes)]
    expected = np.concatenate(arrays, axis=1)
    workload = Workload("concat", tuple(Tensor(shape, dtype) for shape in shapes), Tensor(expected.shape, dtype))
    kernels.unoptimized().check(workload, 0, arrays, expected)


def test_rows_that_end_within_a_block_are_no_slice() -> None:
    """Memory has whole blocks; the result has rows one after another."""
    attrs = (("offset", 0), ("sizes", (2, 3, 16)), ("strides", (48, 16, 1)))
    workload = Workload("copy", (Tensor((2, 40, 1, 1), block=16),), Tensor((2, 40)), attrs)
    assert not is_slice(workload)
