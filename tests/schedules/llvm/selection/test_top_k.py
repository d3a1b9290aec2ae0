from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.llvm.selection.columns import MOST
from tvmopt.schedules.llvm.selection.keys import KEYS
from tvmopt.schedules.llvm.selection.radix import SPARE
from tvmopt.schedules.llvm.selection.rows import BLOCK
from tvmopt.schedules.llvm.selection.top_k import SHORT
from tvmopt.schedules.workload import Tensor, Workload

LONG = 2 * SPARE + 3 * BLOCK + 5
"""A row that does not fit the room of a radix sort, with a rest."""

CASES = [
    ((1, 1, 1), 1),
    ((3, 7, 1), 7),
    ((1, BLOCK + 1, 1), 1),
    ((2, 70, 1), 5),
    ((2, 3 * BLOCK, 3), 9),
    ((5, SHORT, 1), SHORT),
    ((1, 4 * BLOCK + 7, 2), SHORT),
    ((1, SHORT + 1, 2), SHORT + 1),
    ((2, 300, 1), 200),
    ((2, 21, 100), 1),
    ((3, 9, 47), 5),
    ((1, MOST, 33), MOST),
    ((1, MOST + 3, 16), MOST),
    ((1, LONG, 1), 300),
    ((1, LONG + BLOCK, 2), SHORT + 1),
]


def top_k(shape: tuple[int, int, int], count: int, dtype: str, largest: int) -> Workload:
    result = Tensor((shape[0], count, shape[2]), "int64")
    return Workload("top_k", (Tensor(shape, dtype),), result, (("largest", largest),))


def with_ties(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Few values, so that many are equal; both ends of the type, and for floats also NaN, infinities and -0."""
    random = np.random.default_rng(len(dtype) + shape[1])
    kind = np.dtype(dtype)
    if kind.kind == "f":
        odd = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, np.finfo(kind).max, np.finfo(kind).tiny / 2])
    else:
        odd = np.array([np.iinfo(kind).min, np.iinfo(kind).max], kind)
    values = random.integers(0, 40, shape).astype(dtype)
    if kind.kind in "if":
        values = values - values.dtype.type(20)
    chosen = random.random(shape) < 0.3
    values[chosen] = random.choice(odd.astype(dtype), int(chosen.sum()))
    return values


def check_places(kernels: Any, workload: Workload, data: np.ndarray) -> None:
    (made,) = kernels.run(workload, [data], [{}])
    np.testing.assert_array_equal(made, reference(workload, [data]))


@pytest.mark.sweep
@pytest.mark.parametrize(("shape", "count"), CASES)
@pytest.mark.parametrize("largest", [0, 1])
def test_ties_and_ends(kernels: Any, shape: Any, count: int, largest: int) -> None:
    workload = top_k(shape, count, "float32", largest)
    check_places(kernels.unoptimized(), workload, with_ties(shape, "float32"))


@pytest.mark.parametrize("dtype", list(KEYS))
@pytest.mark.parametrize("count", [7, 90])
def test_element_types(host: Any, dtype: str, count: int) -> None:
    data = with_ties((2, 100, 1), dtype)
    for largest in (0, 1):
        check_places(host, top_k(data.shape, count, dtype, largest), data)


@pytest.mark.parametrize("dtype", ["int64", "float16", "uint8"])
def test_element_types_side_by_side(host: Any, dtype: str) -> None:
    data = with_ties((2, 20, 35), dtype)
    for largest in (0, 1):
        check_places(host, top_k(data.shape, 3, dtype, largest), data)


@pytest.mark.parametrize("order", ["ascending", "descending", "equal"])
@pytest.mark.parametrize("count", [10, 300])
def test_rows_in_order(host: Any, order: str, count: int) -> None:
    """Where each element is better than all before, each is taken; where all are equal, only the first are."""
    values = {"ascending": np.arange(LONG), "descending": -np.arange(LONG), "equal": np.zeros(LONG)}
    data = values[order].astype(np.float32).reshape(1, LONG, 1)
    for largest in (0, 1):
        check_places(host, top_k(data.shape, count, "float32", largest), data)


def test_the_reference_agrees_with_onnxruntime(onnx_model: Any) -> None:
    """But for NaN, whose place ONNX leaves open."""
    from tvmopt.pipeline.support.onnxruntime import run_model

    data = with_ties((3, 200, 2), "float32")
    data[np.isnan(data)] = 1
    for largest in (0, 1):
        nodes = ("TopK", "x k", "v y", {"axis": 1, "largest": largest})
        model = onnx_model(nodes, inputs={"x": data.shape}, outputs="y", k=np.array([50]))
        expected = run_model(model, {"x": data})["y"]
        np.testing.assert_array_equal(reference(top_k(data.shape, 50, "float32", largest), [data]), expected)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "int64", "float64"])
@pytest.mark.parametrize("places", ["int32", "int64"])
@pytest.mark.parametrize(("shape", "count"), [((1, 5, 1), 3), ((7, 9, 3), 11), ((1000, 20, 1), 6)])
def test_elements_are_chosen_by_places(host: Any, dtype: str, places: str, shape: Any, count: int) -> None:
    chosen = (shape[0], count, shape[2])
    workload = Workload("pick", (Tensor(shape, dtype), Tensor(chosen, places)), Tensor(chosen, dtype))
    data = (np.arange(np.prod(shape)) % 100).astype(dtype).reshape(shape)
    at = np.random.default_rng(0).integers(0, shape[1], chosen).astype(places)
    (made,) = host.unoptimized().run(workload, [data, at], [{}])
    np.testing.assert_array_equal(made, np.take_along_axis(data, at.astype(np.int64), 1))
