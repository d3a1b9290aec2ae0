from __future__ import annotations

import numpy as np
import pytest

from tvmopt.pipeline.support import tolerances
from tvmopt.pipeline.support.numeric_error import numeric_error
from tvmopt.pipeline.support.tolerances import (
    ALONE,
    COMPILED,
    EXAMPLES,
    KERNEL,
    REWRITTEN,
    TEST,
    Tolerance,
    only_rounding,
    stated,
    within,
)


@pytest.mark.parametrize("tolerance", [REWRITTEN, KERNEL, COMPILED, EXAMPLES])
def test_other_dtypes_than_floats_must_be_equal(tolerance: Tolerance) -> None:
    assert tolerance.of(np.dtype("float16")) == tolerance.float16
    assert tolerance.of(np.dtype("float32")) == tolerance.of(np.dtype("float64")) == tolerance.float32
    assert tolerance.of(np.dtype("int8")) == tolerance.of(np.dtype("uint8")) == tolerance.int8
    assert tolerance.int8 == (2 / 128 if tolerance is COMPILED else 0.0)
    for dtype in ("bool", "int16", "int32", "int64", "uint64", "O"):
        assert tolerance.of(np.dtype(dtype)) == 0.0


def test_a_tolerance_leaves_room_for_rounding() -> None:
    found = [value for value in vars(tolerances).values() if isinstance(value, Tolerance)]
    assert len(found) == 4
    for tolerance in found:
        assert tolerance.float16 > 10 * np.finfo(np.float16).eps / 2
        assert tolerance.float32 > 100 * np.finfo(np.float32).eps


def test_a_layer_alone_is_judged_as_a_kernel_is() -> None:
    assert ALONE * COMPILED.float32 == pytest.approx(KERNEL.float32)
    assert ALONE * COMPILED.float16 == pytest.approx(KERNEL.float16)
    assert KERNEL.float32 > TEST


def test_errors_are_stated_as_they_are_judged() -> None:
    zeros = np.zeros(2, np.float32)
    cases = [
        ([1.0, 2.0], [1.0, 2.001], "relative error 0.0005, allowed 0.001", True),
        ([1.0, 2.0], [1.0, 2.01], "relative error 0.005, allowed 0.001", False),
        ([1e-6, 0.0], [1e-6, 2e-7], "a difference of 2e-07 at values up to 1e-06, no more than rounding", True),
        ([0.0, 0.0], [0.0, 2e-7], "a difference of 2e-07 at values up to 0, no more than rounding", True),
        ([1.0, 2.0], [1.0, np.nan], "another shape or dtype, or a NaN or infinity that only one of the two has", False),
    ]
    for reference, computed, text, right in cases:
        error = numeric_error(zeros + np.float32(reference), zeros + np.float32(computed))
        assert stated(error, 1e-3) == text
        assert within(error, 1e-3) == right
        assert only_rounding(error, 1e-3) == ("rounding" in text)
