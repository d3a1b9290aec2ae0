"""The definition of numeric error: against exact arithmetic, and on difficult values."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

from tvmopt.pipeline.support.numeric_error import EXACT, INCOMPARABLE, NumericError, as_one_dtype, numeric_error

INF, NAN = math.inf, math.nan
FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "uint8", "int16", "int32", "uint32", "int64", "uint64")


def exact_relative(reference: np.ndarray, computed: np.ndarray) -> float:
    """The relative error of finite numbers in rational arithmetic, rounded once."""
    pairs = [(Fraction(a), Fraction(b)) for a, b in zip(reference.tolist(), computed.tolist(), strict=True)]
    apart, largest = max(abs(b - a) for a, b in pairs), max(abs(a) for a, _ in pairs)
    return float(apart / largest) if largest else INF if apart else 0.0


def exact_cosine(reference: np.ndarray, computed: np.ndarray) -> float:
    """The cosine of finite numbers with 60 digits, rounded once."""
    first, second = ([Fraction(x) for x in array.tolist()] for array in (reference, computed))
    product = sum((a * b for a, b in zip(first, second, strict=True)), Fraction())
    squares = sum((a * a for a in first), Fraction()) * sum((b * b for b in second), Fraction())
    with localcontext() as context:
        context.prec = 60
        ratio = product * product / squares
        size = (Decimal(ratio.numerator) / Decimal(ratio.denominator)).sqrt()
    return float(size) if product > 0 else -float(size)


def random_pair(dtype: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of a dtype, equal in some places: floats of all magnitudes, integers over the whole range."""
    random = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind != "f":
        info = np.iinfo(kind)
        pair = random.integers(info.min, info.max, (2, 9), kind, endpoint=True)
    else:
        limits = np.finfo(kind)
        # From the smallest denormal to the largest number, as powers of two.
        exponents = random.uniform(math.log2(limits.smallest_subnormal), math.log2(limits.max) - 0.1, (2, 9))
        pair = (np.exp2(exponents) * random.choice((-1.0, 1.0), (2, 9))).astype(kind)
    reference, computed = pair
    same = random.random(9) < 0.3
    computed[same] = reference[same]
    return reference, computed


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS])
def test_it_matches_exact_arithmetic(dtype: str, seed: int) -> None:
    reference, computed = random_pair(dtype, seed)
    found = numeric_error(reference, computed)
    assert found.relative == pytest.approx(exact_relative(reference, computed), rel=1e-15)
    assert found.cosine == pytest.approx(exact_cosine(reference, computed), rel=1e-14, abs=1e-15)
    assert found.max_abs == pytest.approx(found.relative * float(np.abs(reference.astype(np.float64)).max()), rel=1e-15)


@pytest.mark.parametrize("apart", [1e-1, 1e-3, 1e-5, 1e-7, 1e-9])
def test_the_cosine_keeps_its_digits_near_one(apart: float) -> None:
    random = np.random.default_rng(1)
    reference = random.standard_normal(50)
    computed = reference + apart * random.standard_normal(50)
    cosine = exact_cosine(reference, computed)
    # A sum of products would be wrong by about 1e-15; the spacing of numbers below 1 is 1.1e-16.
    assert abs(numeric_error(reference, computed).cosine - cosine) <= 2.0**-53
    assert abs(numeric_error(reference, -computed).cosine + cosine) <= 2.0**-53


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("seed", range(5))
def test_properties_of_every_error(dtype: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    reference = random.standard_normal((3, 5, 7)).astype(dtype)
    computed = (reference + random.standard_normal(reference.shape) / 8).astype(dtype)
    found = numeric_error(reference, computed)
    assert 0 < found.relative < 1
    assert -1 <= found.cosine < 1
    assert numeric_error(reference, reference.copy()) == EXACT
    # Signs and powers of two change only the scale; the order of elements changes only rounding.
    assert numeric_error(-reference, -computed) == found
    doubled = numeric_error(2 * reference, 2 * computed)
    assert doubled == NumericError(2 * found.max_abs, found.relative, found.cosine)
    turned = numeric_error(reference.T, computed.T)
    assert (turned.max_abs, turned.relative) == (found.max_abs, found.relative)
    assert turned.cosine == pytest.approx(found.cosine, rel=1e-14)
    # With swapped arguments, only the scale differs.
    swapped = numeric_error(computed, reference)
    assert (swapped.max_abs, swapped.cosine) == (found.max_abs, pytest.approx(found.cosine, rel=1e-15))


def test_the_order_of_arguments_matters() -> None:
    small, large = np.array([0.0, 1.0]), np.array([0.0, 4.0])
    assert numeric_error(small, large).relative == 3.0
    assert numeric_error(large, small).relative == 0.75


def test_one_wrong_element_of_a_large_array_shows() -> None:
    reference = np.ones((1000, 1000), np.float32)
    computed = reference.copy()
    computed[500, 500] = 0.5
    assert numeric_error(reference, computed).relative == 0.5  # a ratio of norms is 5e-4


def test_the_three_errors() -> None:
    found = numeric_error(np.float32([3.0, 4.0]), np.float32([3.0, 4.5]))
    assert found.max_abs == 0.5
    assert found.relative == 0.5 / 4.0
    assert found.cosine == pytest.approx((9 + 18) / (5 * math.hypot(3.0, 4.5)), rel=1e-15)


def test_a_scaled_array_has_the_same_direction() -> None:
    reference = np.random.default_rng(0).standard_normal((3, 5, 7))
    found = numeric_error(reference, 2 * reference)
    assert found.relative == 1.0
    assert found.cosine == 1.0
    assert numeric_error(reference, 3 * reference).cosine == 1.0
    assert numeric_error(reference, -reference).cosine == -1.0
    assert numeric_error(np.array([1.0, 0.0]), np.array([0.0, 1.0])).cosine == 0.0


@pytest.mark.parametrize("size", [1e-300, 1e-40, 1e300])
def test_squares_neither_overflow_nor_vanish(size: float) -> None:
    found = numeric_error(np.array([size, -size]), np.array([size, -1.5 * size]))
    assert found.relative == pytest.approx(0.5)
    assert found.cosine == pytest.approx(2.5 / math.sqrt(2 * 3.25), rel=1e-15)


def test_tiny_angles_are_the_nearest_number_to_their_cosine() -> None:
    reference = np.ones(1000)
    computed = reference.copy()
    computed[::2] += 1e-7
    found = numeric_error(reference, computed)
    assert found.relative == pytest.approx(1e-7, rel=1e-8)
    assert 1 - found.cosine == pytest.approx(1e-14 / 8, abs=2.0**-53)


def test_differences_beyond_the_largest_float() -> None:
    most = np.finfo(np.float64).max
    assert numeric_error(np.array([most]), np.array([-most])) == NumericError(INF, 2.0, -1.0)
    least = np.finfo(np.float64).smallest_subnormal
    assert numeric_error(np.array([least]), np.array([2 * least])) == NumericError(least, 1.0, 1.0)
    assert numeric_error(np.array([least, 0.0]), np.array([0.0, most])) == NumericError(most, INF, 0.0)


def test_half_precision_that_overflows() -> None:
    reference = np.float16([60000.0, 1.0])
    assert numeric_error(reference, np.float16([INF, 1.0])) == INCOMPARABLE
    # Subtracted as float16, the difference of the two would be infinite.
    assert numeric_error(reference, np.float16([-60000.0, 1.0])).max_abs == 120000.0


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("reference", "computed", "expected"),
    [
        ([], [], EXACT),
        ([1.0, 2.0], [1.0, 2.0], EXACT),
        ([0.0, 0.0], [0.0, 0.0], EXACT),
        ([0.0, -0.0], [-0.0, 0.0], EXACT),
        ([1.0, -2.0], [1.5, -2.0], NumericError(0.5, 0.25, pytest.approx(5.5 / math.sqrt(5 * 6.25)))),
        ([0.0, 0.0], [0.0, 0.25], NumericError(0.25, INF, 0.0)),
        ([0.0, 2.0], [0.0, 0.0], NumericError(2.0, 1.0, 0.0)),
        ([NAN, INF, -INF, 1.0], [NAN, INF, -INF, 1.0], EXACT),
        ([NAN, INF, -INF, 4.0], [NAN, INF, -INF, 5.0], NumericError(1.0, 0.25, 1.0)),
        ([NAN, INF, 0.0], [NAN, INF, 1.0], NumericError(1.0, INF, 0.0)),
        ([NAN], [NAN], EXACT),
        ([INF, INF], [INF, INF], EXACT),
        ([NAN, 1.0], [1.0, NAN], INCOMPARABLE),
        ([NAN, 1.0], [1.0, 1.0], INCOMPARABLE),
        ([1.0, 1.0], [NAN, 1.0], INCOMPARABLE),
        ([1.0, 1.0], [INF, 1.0], INCOMPARABLE),
        ([INF, 1.0], [-INF, 1.0], INCOMPARABLE),
        ([NAN, 1.0], [INF, 1.0], INCOMPARABLE),
        ([INF, 1.0], [NAN, 1.0], INCOMPARABLE),
        ([INF, 1.0], [6e4, 1.0], INCOMPARABLE),
        ([INF, 1.0], [INF, NAN], INCOMPARABLE),
        ([0.0, 0.0], [0.0, NAN], INCOMPARABLE),
        ([1.0], [1.0, 1.0], INCOMPARABLE),
        ([], [1.0], INCOMPARABLE),
    ],
)
def test_special_values(dtype: str, reference: list[float], computed: list[float], expected: NumericError) -> None:
    assert numeric_error(np.array(reference, dtype), np.array(computed, dtype)) == expected


def test_a_difference_from_all_zeros_is_infinite_however_small() -> None:
    assert numeric_error(np.float32([0.0, 0.0]), np.float32([0.0, 1e-9])).relative == INF


def test_shapes_must_agree() -> None:
    array = np.ones((2, 3))
    assert numeric_error(array, array.reshape(3, 2)) == INCOMPARABLE
    assert numeric_error(array, array[None]) == INCOMPARABLE
    assert numeric_error(array, np.ones(())) == INCOMPARABLE
    assert numeric_error(np.zeros((0, 2)), np.zeros((0, 3))) == INCOMPARABLE
    assert numeric_error(np.ones(()), np.ones(())) == EXACT
    assert numeric_error(np.array(4.0), np.array(5.0)) == NumericError(1.0, 0.25, 1.0)


@pytest.mark.parametrize(("first", "second"), [("float32", "float64"), ("int32", "int64"), ("bool", "int8")])
def test_dtypes_must_agree_unless_the_caller_says_otherwise(first: str, second: str) -> None:
    reference, computed = np.ones(3, first), np.ones(3, second)
    assert numeric_error(reference, computed) == INCOMPARABLE
    assert numeric_error(computed, reference) == INCOMPARABLE
    assert numeric_error(*as_one_dtype(reference, computed)) == EXACT


def test_one_dtype_loses_no_digits() -> None:
    whole, float32 = np.array([2**24 + 1]), np.float32([2**24])
    assert numeric_error(*as_one_dtype(whole, float32)).max_abs == 1.0
    assert numeric_error(*as_one_dtype(np.array([0.1]), np.float32([0.1]))).relative == pytest.approx(1.5e-8, rel=0.1)


@pytest.mark.parametrize(
    ("dtype", "reference", "computed", "max_abs", "relative"),
    [
        ("int64", [0, 1, 2], [0, 1, 3], 1.0, 0.5),
        ("bool", [True, False], [True, True], 1.0, 1.0),
        ("bool", [True, True], [True, False], 1.0, 1.0),
        ("bool", [False, False], [False, True], 1.0, INF),
        ("uint8", [0, 255], [1, 254], 1.0, 1 / 255),
        ("int8", [-128, 0], [127, 0], 255.0, 255 / 128),
        # As float64, the two are equal.
        ("int64", [2**53], [2**53 + 1], 1.0, 2.0**-53),
        ("int64", [-(2**63)], [2**63 - 1], 2.0**64, 2.0),
        ("uint64", [0, 2**64 - 1], [2**64 - 1, 0], 2.0**64, 1.0),
    ],
)
def test_integers_and_booleans(
    dtype: str, reference: Sequence[int], computed: Sequence[int], max_abs: float, relative: float
) -> None:
    found = numeric_error(np.array(reference, dtype), np.array(computed, dtype))
    assert (found.max_abs, found.relative) == (max_abs, relative)


def test_strings_are_equal_or_not() -> None:
    words = np.array(["cat", "dog"], object)
    assert numeric_error(words, words.copy()) == EXACT
    assert numeric_error(words, np.array(["cat", "cow"], object)) == INCOMPARABLE


def test_views_are_compared_by_their_elements_and_not_changed() -> None:
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    reference, computed = base[::2, ::-1], base[::2, ::-1] + np.float32(0.5)
    before = (reference.copy(), computed.copy())
    assert numeric_error(reference, computed).relative == 0.5 / 17
    assert numeric_error(np.broadcast_to(np.float32(2), (3, 3)), np.full((3, 3), 3, np.float32)).relative == 0.5
    assert np.array_equal(reference, before[0])
    assert np.array_equal(computed, before[1])


def test_json_has_no_infinite_numbers() -> None:
    text = json.dumps([INCOMPARABLE.to_json(), NumericError(1.0, 0.5, 0.25).to_json()], allow_nan=False)
    infinite, finite = json.loads(text)
    assert infinite == {"max_abs": None, "relative": None, "cosine": 0.0}
    assert finite == {"max_abs": 1.0, "relative": 0.5, "cosine": 0.25}


@pytest.mark.parametrize(
    ("reference", "computed", "error"),
    [([1.0, 2.0], [1.0, 2.2], 0.1), ([1.0, -INF], [1.0, INF], INF), ([1.0, 2.0], [1.0, NAN], INF)],
)
def test_relative_error(reference: list[float], computed: list[float], error: float) -> None:
    assert numeric_error(np.array(reference), np.array(computed)).relative == pytest.approx(error)
