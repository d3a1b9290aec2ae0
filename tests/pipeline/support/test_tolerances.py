from __future__ import annotations

import numpy as np
import pytest

from tvmopt.pipeline.support import tolerances
from tvmopt.pipeline.support.tolerances import ALONE, COMPILED, GOLDEN, KERNEL, REWRITTEN, TEST, Tolerance


@pytest.mark.parametrize("tolerance", [REWRITTEN, KERNEL, COMPILED, GOLDEN])
def test_other_dtypes_than_floats_must_be_equal(tolerance: Tolerance) -> None:
    assert tolerance.of(np.dtype("float16")) == tolerance.float16
    assert tolerance.of(np.dtype("float32")) == tolerance.of(np.dtype("float64")) == tolerance.float32
    for dtype in ("bool", "int8", "uint8", "int32", "int64", "uint64", "O"):
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
