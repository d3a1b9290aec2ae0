from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.recognize import recognize

PASSES = (recognize,)


@pytest.mark.parametrize("attributes", [{}, {"transB": 1}, {"alpha": 0.5, "beta": 2.0}, {"beta": 0.0}])
@pytest.mark.parametrize("bias", [(), (1,), (5,), (1, 5), (1, 1)])
def test_gemm(through: Any, weights: Any, attributes: Any, bias: tuple[int, ...]) -> None:
    shape = (5, 7) if attributes.get("transB") else (7, 5)
    done = through(
        ("Gemm", "x w c", "y", attributes),
        passes=PASSES,
        inputs={"x": (3, 7)},
        outputs="y",
        w=weights(*shape),
        c=weights(*bias),
    )
    assert done.ops() == ["dense"]
    assert done.node("dense").attrs == {"packed": 1}
    done.check()


def test_gemm_without_bias(through: Any, weights: Any) -> None:
    done = through(("Gemm", "x w", "y"), passes=PASSES, inputs={"x": (1, 7)}, outputs="y", w=weights(7, 5))
    assert done.ops() == ["dense"]
    done.check()


@pytest.mark.parametrize("shape", [(5, 1), (5, 5)])
def test_a_bias_for_each_row_is_left(through: Any, weights: Any, shape: tuple[int, ...]) -> None:
    """With as many rows as columns, the number of elements cannot distinguish the two."""
    done = through(
        ("Gemm", "x w c", "y"), passes=PASSES, inputs={"x": (5, 7)}, outputs="y", w=weights(7, 5), c=weights(*shape)
    )
    assert done.ops() == ["Gemm"]
    done.check()


@pytest.mark.parametrize(("left", "constants"), [("transA", "w c"), ("", "w"), ("", "c")])
def test_other_gemms_are_left(through: Any, weights: Any, left: str, constants: str) -> None:
    shapes = {"w": (7, 5), "c": (5,), "x": (7, 3) if left else (3, 7)}
    arrays = {name: weights(*shapes[name]) for name in constants.split()}
    inputs = {name: shape for name, shape in shapes.items() if name not in arrays}
    attributes = {left: 1} if left else {}
    done = through(("Gemm", "x w c", "y", attributes), passes=PASSES, inputs=inputs, outputs="y", **arrays)
    assert done.ops() == ["Gemm"]


@pytest.mark.parametrize(
    ("left", "right"), [((3, 7), (7, 5)), ((2, 4, 3, 7), (7, 5)), ((3, 7), (1, 1, 7, 5)), ((1, 7), (7, 1))]
)
def test_matmul_with_constant_weights(through: Any, weights: Any, left: Any, right: Any) -> None:
    done = through(("MatMul", "x w", "y"), passes=PASSES, inputs={"x": left}, outputs="y", w=weights(*right))
    assert done.ops() == ["dense"]
    assert done.node("dense").attrs["packed"] == 1
    done.check()


@pytest.mark.parametrize(("left", "right"), [((3, 7), (7, 5)), ((2, 4, 3, 7), (2, 4, 7, 5)), ((6, 1, 1), (6, 1, 1))])
def test_matmul_of_two_values(through: Any, left: Any, right: Any) -> None:
    done = through(("MatMul", "a b", "y"), passes=PASSES, inputs={"a": left, "b": right}, outputs="y")
    assert done.ops() == ["dense"]
    assert done.node("dense").attrs["packed"] == 0
    done.check()


@pytest.mark.parametrize(
    ("left", "right"), [((7,), (7, 5)), ((3, 7), (7,)), ((2, 3, 7), (7, 5)), ((2, 1, 3, 7), (1, 4, 7, 5))]
)
def test_matmuls_that_repeat_an_operand_are_left(through: Any, left: Any, right: Any) -> None:
    done = through(("MatMul", "a b", "y"), passes=PASSES, inputs={"a": left, "b": right}, outputs="y")
    assert done.ops() == ["MatMul"]


@pytest.mark.parametrize("constants", ["a", "b"])
def test_matmuls_of_constant_batches_are_left(through: Any, weights: Any, constants: str) -> None:
    shapes = {"a": (2, 3, 7), "b": (2, 7, 5)}
    done = through(
        ("MatMul", "a b", "y"),
        passes=PASSES,
        outputs="y",
        inputs={name: shape for name, shape in shapes.items() if name != constants},
        **{constants: weights(*shapes[constants])},
    )
    assert done.ops() == ["MatMul"]


def test_other_dtypes_are_left(through: Any) -> None:
    inputs = {"a": ("float64", 3, 7), "b": ("float64", 7, 5)}
    assert through(("MatMul", "a b", "y"), passes=PASSES, inputs=inputs, outputs="y").ops() == ["MatMul"]
    weight = np.ones((7, 5), np.float64)
    inputs = {"a": ("float64", 3, 7)}
    assert through(("Gemm", "a w", "y"), passes=PASSES, inputs=inputs, outputs="y", w=weight).ops() == ["Gemm"]
