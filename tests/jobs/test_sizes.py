"""Sets of sizes for open dimensions."""

from __future__ import annotations

import numpy as np
import pytest

from tvmopt.jobs.sizes import each_size
from tvmopt.pipeline.errors import UsageError


def test_sets_go_together() -> None:
    shapes = {"x": ((1, 4), 3, (32, 64)), "mask": ((1, 4), 7), "scale": ()}
    assert each_size(shapes) == (
        {"x": (1, 3, 32), "mask": (1, 7), "scale": ()},
        {"x": (4, 3, 64), "mask": (4, 7), "scale": ()},
    )


def test_without_sets_there_is_one_size() -> None:
    assert each_size({"x": (1, 3)}) == ({"x": (1, 3)},)
    assert each_size({}) == ({},)


def test_sets_of_different_length_are_refused() -> None:
    with pytest.raises(UsageError, match=r"need the same length; got x:\{1,4\} and y:\{1,2,3\}"):
        each_size({"x": ((1, 4),), "y": (2, (1, 2, 3))})


def test_arrays_have_one_size() -> None:
    given = {"x": np.zeros((1, 3), np.float32)}
    assert each_size({"x": (1, 3)}, given) == ({"x": (1, 3)},)
    assert each_size({"x": ((1,), 3)}, given) == ({"x": (1, 3)},)
    with pytest.raises(UsageError, match=r"the arrays in inputs have one size; .* several sizes \(x:\{1,4\}\)"):
        each_size({"x": ((1, 4), 3)}, given)
