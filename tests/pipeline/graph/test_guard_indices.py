from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.graph.guard_indices import guard_indices
from tvmopt.pipeline.graph.recognize import recognize, recognize_typed

PASSES = (guard_indices, recognize, recognize_typed)


@pytest.mark.parametrize("operator", ["Div", "Mod"])
def test_divisors_of_integers_are_checked_once(through: Any, operator: str) -> None:
    nodes = [(operator, "x z", "y"), (operator, "y z", "w")]
    done = through(*nodes, passes=PASSES, inputs={"x": ("int64", 5), "z": ("int64", 5)}, outputs="w")
    assert done.ops() == ["bounds", "pointwise", "pointwise"]
    assert done.node("bounds").attrs["limits"] == ()


def test_other_divisors_need_no_check(through: Any) -> None:
    nodes = [("Div", "x two", "y"), ("Mod", "y two", "w"), ("Div", "f g", "q")]
    inputs = {"x": ("int32", 5), "f": (5,), "g": (5,)}
    done = through(*nodes, passes=PASSES, inputs=inputs, outputs="w q", two=np.int32(-2))
    assert done.ops() == ["pointwise"] * 3
    done.check()


def test_a_constant_zero_is_refused(through: Any) -> None:
    with pytest.raises(UnsupportedModelError, match=r"\(Div\): an integer is divided by zero"):
        through(("Div", "x zero", "y"), passes=PASSES, inputs={"x": ("int32", 5)}, outputs="y", zero=np.int32(0))
