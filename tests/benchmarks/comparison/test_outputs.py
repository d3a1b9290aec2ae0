"""Differences between outputs, against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tvmopt.benchmarks.comparison.outputs import output_errors, worst_error
from tvmopt.pipeline.support.numeric_error import NumericError


def compare_outputs(reference: list[np.ndarray], outputs: list[np.ndarray]) -> NumericError:
    return worst_error(output_errors(reference, outputs))


def test_equal() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    error = compare_outputs([array], [array])
    assert (error.max_abs, error.relative, error.cosine) == (0.0, 0.0, pytest.approx(1.0))


def test_known_values() -> None:
    error = compare_outputs([np.array([3.0, 4.0])], [np.array([3.0, 0.0])])
    assert error.max_abs == 4.0
    assert error.relative == 1.0
    assert error.cosine == pytest.approx(0.6)


def test_the_worst_output_counts() -> None:
    good, bad = np.array([1.0, 2.0]), np.array([2.0, 2.0])
    error = compare_outputs([good, good], [good, bad])
    assert error.max_abs == 1.0
    small, turned = np.array([0.01, 0.0]), np.array([0.0, 0.01])
    error = compare_outputs([good, small], [bad, turned])
    assert (error.max_abs, error.relative, error.cosine) == (1.0, 1.0, 0.0)


def test_a_runtime_may_give_another_dtype() -> None:
    indices = np.array([3, 2**24 + 1])
    assert compare_outputs([indices], [indices.astype(np.int32)]).max_abs == 0.0
    assert compare_outputs([indices], [indices.astype(np.float64)]).max_abs == 0.0
    assert compare_outputs([indices], [indices.astype(np.float32)]).max_abs == 1.0


def test_integers_and_zeros() -> None:
    zeros = np.zeros(3, dtype=np.int64)
    assert compare_outputs([zeros], [zeros]).cosine == 1.0
    assert compare_outputs([zeros], [zeros + 2]).cosine == 0.0
    assert compare_outputs([zeros], [zeros + 2]).relative == np.inf


def test_the_reference_may_have_infinities() -> None:
    array = np.array([1.0, np.inf, np.nan])
    assert compare_outputs([array], [array]).relative == 0.0


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([], "gave 0 outputs, the reference 1"),
        ([np.zeros(3)], r"output 0 has shape \(3,\), the reference \(2,\)"),
        ([np.array([1.0, np.nan])], "output 0 has infinite or undefined values"),
    ],
)
def test_outputs_that_cannot_be_compared(outputs: list[np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare_outputs([np.ones(2)], outputs)
