"""The three errors of an array, and what is not finite."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tvmopt.pipeline.support.numeric_error import INFINITE, Difference, difference

INF, NAN = math.inf, math.nan


def test_the_three_errors() -> None:
    found = difference(np.float32([3.0, 4.0]), np.float32([3.0, 4.5]))
    assert found.max_abs == 0.5
    assert found.relative == pytest.approx(0.5 / 5.0)
    assert found.cosine == pytest.approx(1 - (9 + 18) / (5 * math.hypot(3.0, 4.5)))


def test_a_scaled_array_has_the_same_direction() -> None:
    reference = np.random.default_rng(0).standard_normal((3, 5, 7))
    found = difference(reference, 2 * reference)
    assert found.relative == pytest.approx(1.0)
    assert found.cosine < 1e-30
    assert difference(reference, -reference).cosine == pytest.approx(2.0)


@pytest.mark.parametrize("size", [1e-300, 1e-40, 1e300])
def test_squares_neither_overflow_nor_vanish(size: float) -> None:
    found = difference(np.array([size, -size]), np.array([size, -1.5 * size]))
    assert found.relative == pytest.approx(0.5 / math.sqrt(2))
    assert found.cosine == pytest.approx(1 - 2.5 / math.sqrt(2 * 3.25))


def test_tiny_angles_keep_their_digits() -> None:
    reference = np.ones(1000)
    computed = reference.copy()
    computed[::2] += 1e-9
    found = difference(reference, computed)
    assert found.relative == pytest.approx(1e-9 * math.sqrt(0.5), rel=1e-6)
    assert found.cosine == pytest.approx(1e-18 / 8, rel=1e-6)


@pytest.mark.parametrize(
    ("reference", "computed", "expected"),
    [
        ([], [], Difference(0.0, 0.0, 0.0)),
        ([0.0, 0.0], [0.0, 0.0], Difference(0.0, 0.0, 0.0)),
        ([0.0, 0.0], [0.0, 0.25], Difference(0.25, 0.25, 1.0)),
        ([0.0, 2.0], [0.0, 0.0], Difference(2.0, 1.0, 1.0)),
        ([NAN, INF, -INF, 1.0], [NAN, INF, -INF, 1.0], Difference(0.0, 0.0, 0.0)),
        ([NAN, NAN], [NAN, NAN], Difference(0.0, 0.0, 0.0)),
        ([NAN, 1.0], [1.0, NAN], INFINITE),
        ([1.0, 1.0], [NAN, 1.0], INFINITE),
        ([1.0, 1.0], [INF, 1.0], INFINITE),
        ([INF, 1.0], [-INF, 1.0], INFINITE),
        ([NAN, 1.0], [INF, 1.0], INFINITE),
        ([INF, 1.0], [1e38, 1.0], INFINITE),
    ],
)
def test_special_values(reference: list[float], computed: list[float], expected: Difference) -> None:
    assert difference(np.float32(reference), np.float32(computed)) == expected


def test_integers_and_booleans() -> None:
    assert difference(np.arange(3), np.array([0, 1, 3])).relative == pytest.approx(1 / math.sqrt(5))
    assert difference(np.array([True, False]), np.array([True, True])).max_abs == 1.0
    assert difference(np.uint8([0, 255]), np.uint8([1, 254])).max_abs == 1.0


def test_json_has_no_infinite_numbers() -> None:
    text = json.dumps([INFINITE.to_json(), Difference(1.0, 0.5, 0.25).to_json()], allow_nan=False)
    infinite, finite = json.loads(text)
    assert infinite == {"max_abs": None, "relative": None, "cosine": None}
    assert finite == {"max_abs": 1.0, "relative": 0.5, "cosine": 0.25}
