from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.passes.fuse_epilogue import fuse_epilogue
from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.pipeline.graph.recognize.elementwise import SIMPLE
from tvmopt.schedules.expression import Arg, Const, call

PASSES = (recognize,)
SHAPE = (2, 3, 4)
BINARY = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean")
POSITIVE = ("Log", "Sqrt", "Reciprocal", "Div", "Pow", "Acosh")
WITHIN_ONE = ("Atanh", "Asin", "Acos")


@pytest.mark.parametrize("operator", [name for name in SIMPLE if name not in BINARY])
def test_functions_of_one_operand(through: Any, operator: str) -> None:
    nodes = [(operator, "x", "y")]
    if operator in POSITIVE:
        nodes = [("Mul", "x x", "s"), ("Add", "s one", "p"), (operator, "p", "y")]
    if operator in WITHIN_ONE:
        nodes = [("Mul", "x x", "s"), ("Add", "s one", "p"), ("Div", "x p", "u"), (operator, "u", "y")]
    done = through(*nodes, passes=PASSES, inputs={"x": SHAPE}, outputs="y", one=np.float32(1))
    assert set(done.ops()) == {"pointwise"}
    done.check()


@pytest.mark.parametrize("operator", BINARY)
@pytest.mark.parametrize("other", [SHAPE, (4,), (3, 1), (1, 1, 1), (5, 2, 3, 4)])
def test_functions_of_two_operands(through: Any, operator: str, other: tuple[int, ...]) -> None:
    done = through((operator, "x z", "y"), passes=PASSES, inputs={"x": SHAPE, "z": other}, outputs="y")
    assert done.ops() == ["pointwise"]
    assert done.node("pointwise").inputs == ("x", "z")
    done.check()


def test_scalars_become_part_of_the_expression(through: Any) -> None:
    done = through(
        ("Mul", "two x", "m"),
        ("Sub", "m half", "y"),
        passes=PASSES,
        inputs={"x": SHAPE},
        outputs="y",
        two=np.float32(2),
        half=np.full((1, 1, 1), 0.5, np.float32),
    )
    first, second = done.graph.nodes
    assert (first.inputs, first.epilogue) == (("x",), call("mul", Const(2.0), Arg(0)))
    assert (second.inputs, second.epilogue) == (("m",), call("sub", Arg(0), Const(0.5)))
    done.check()


def test_a_scalar_that_widens_the_result_stays_one(through: Any) -> None:
    done = through(
        ("Add", "x one", "y"), passes=PASSES, inputs={"x": (3,)}, outputs="y", one=np.ones((1, 1, 1, 1), np.float32)
    )
    assert done.tensor("pointwise").shape == (1, 1, 1, 3)
    done.check()


def test_infinity_stays_an_operand(through: Any) -> None:
    done = through(("Max", "x low", "y"), passes=PASSES, inputs={"x": SHAPE}, outputs="y", low=np.float32(-np.inf))
    assert done.node("pointwise").inputs == ("x", "low")
    done.check()


@pytest.mark.parametrize("operator", ["Max", "Min", "Sum", "Mean"])
@pytest.mark.parametrize("taken", ["x", "x z", "x z x two"])
def test_any_number_of_operands(through: Any, operator: str, taken: str) -> None:
    inputs = {name: SHAPE for name in "xz" if name in taken.split()}
    done = through((operator, taken, "y"), passes=PASSES, inputs=inputs, outputs="y", two=np.float32(0.2))
    assert done.ops() == ["pointwise"]
    done.check()


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("LeakyRelu", {}),
        ("LeakyRelu", {"alpha": 0.3}),
        ("Elu", {}),
        ("Elu", {"alpha": 0.5}),
        ("HardSigmoid", {}),
        ("HardSigmoid", {"alpha": 0.5, "beta": 0.25}),
        ("Gelu", {}),
        ("Gelu", {"approximate": "tanh"}),
    ],
)
def test_attributes_become_constants(through: Any, operator: str, attributes: Any) -> None:
    done = through((operator, "x", "y", attributes), passes=PASSES, inputs={"x": SHAPE}, outputs="y", opset=20)
    assert done.ops() == ["pointwise"]
    done.check()


@pytest.mark.parametrize(
    ("taken", "expr"),
    [
        ("x low high", call("clip", Arg(0), Const(-0.5), Const(0.75))),
        ("x zero infinity", call("relu", Arg(0))),
        ("x zero", None),
        ("x low", None),
        ("x . high", None),
        ("x", None),
    ],
)
def test_clip(through: Any, taken: str, expr: Any) -> None:
    constants = {
        "low": np.float32(-0.5),
        "high": np.float32(0.75),
        "zero": np.float32(0),
        "infinity": np.float32(np.inf),
    }
    done = through(("Clip", taken, "y"), passes=PASSES, inputs={"x": SHAPE}, outputs="y", **constants)
    assert done.node("pointwise").inputs == ("x",)
    if expr is not None:
        assert done.node("pointwise").epilogue == expr
    done.check()


def test_clip_with_bounds_that_are_computed(through: Any) -> None:
    inputs = {"x": SHAPE, "low": (), "high": ()}
    done = through(("Clip", "x low high", "y"), passes=PASSES, inputs=inputs, outputs="y")
    assert done.node("pointwise").epilogue == call("clip", Arg(0), Arg(1), Arg(2))
    done.check()


def test_clip_with_attributes(through: Any) -> None:
    attributes = {"min": 0.0, "max": 6.0}
    done = through(("Clip", "x", "y", attributes), passes=PASSES, inputs={"x": SHAPE}, outputs="y", opset=6)
    assert done.node("pointwise").epilogue == call("clip", Arg(0), Const(0.0), Const(6.0))
    done.check()


@pytest.mark.parametrize("slope", [(3, 1), (1,), (4,), SHAPE])
def test_prelu(through: Any, weights: Any, slope: tuple[int, ...]) -> None:
    done = through(("PRelu", "x s", "y"), passes=PASSES, inputs={"x": SHAPE}, outputs="y", s=weights(*slope))
    assert done.ops() == ["pointwise"]
    done.check()


@pytest.mark.parametrize("exponent", [2.0, 0.5, -1.0, 3.0, 0.0, -2.0, 1.5, -0.5, 17.0, np.int64(3), np.ones(1, "f4")])
def test_powers(through: Any, exponent: float) -> None:
    done = through(
        ("Abs", "x", "a"),
        ("Pow", "a e", "y"),
        passes=PASSES,
        inputs={"x": SHAPE},
        outputs="y",
        e=np.float32(exponent) if isinstance(exponent, float) else exponent,
    )
    assert done.ops() == ["pointwise", "pointwise"]
    done.check()


def test_powers_of_negative_numbers(through: Any) -> None:
    done = through(("Pow", "x e", "y"), passes=PASSES, inputs={"x": SHAPE}, outputs="y", e=np.float32(3))
    assert done.node("pointwise").epilogue == call("integer_power", Arg(0), Const(3.0))
    done.check()


def test_an_exponent_that_is_computed(through: Any) -> None:
    nodes = (("Abs", "x", "a"), ("Pow", "a z", "y"))
    done = through(*nodes, passes=PASSES, inputs={"x": SHAPE, "z": (4,)}, outputs="y")
    assert done.ops() == ["pointwise", "pointwise"]
    done.check()


@pytest.mark.parametrize(
    "node",
    [
        *(("Celu", "x", "y"), ("Celu", "x", "y", {"alpha": 0.5}), ("Mish", "x", "y")),
        *(("Shrink", "x", "y"), ("Shrink", "x", "y", {"bias": 0.3, "lambd": 0.2}), ("Softsign", "x", "y")),
    ],
)
def test_activations(through: Any, node: Any) -> None:
    done = through(node, passes=PASSES, inputs={"x": (9, 13)}, outputs="y")
    assert done.ops() == ["pointwise"]
    done.check()


GELU_FORMS = {
    "new": [
        *(("Pow", "x three", "c"), ("Mul", "c k", "d"), ("Add", "x d", "e"), ("Mul", "e root", "f")),
        *(("Tanh", "f", "t"), ("Add", "t one", "u"), ("Mul", "x half", "h"), ("Mul", "h u", "y")),
    ],
    "product": [
        *(("Mul", "x x", "q"), ("Mul", "q x", "c"), ("Mul", "k c", "d"), ("Add", "d x", "e"), ("Mul", "root e", "f")),
        *(("Tanh", "f", "t"), ("Add", "one t", "u"), ("Mul", "half x", "h"), ("Mul", "u h", "y")),
    ],
    "erf": [
        *(("Div", "x two", "d"), ("Erf", "d", "e"), ("Add", "e one", "u"), ("Mul", "x u", "p"), ("Mul", "p half", "y")),
    ],
    "erf, product": [
        *(("Mul", "x k", "d"), ("Erf", "d", "e"), ("Add", "one e", "u"), ("Mul", "half u", "p"), ("Mul", "x p", "y")),
    ],
    "sigmoid": [("Mul", "x root", "s"), ("Sigmoid", "s", "g"), ("Mul", "x g", "y")],
    "operator": [("Gelu", "x", "y")],
}


@pytest.mark.parametrize("form", GELU_FORMS)
def test_each_form_of_gelu_joins_the_product_before_it(through: Any, weights: Any, form: str) -> None:
    scalars = {"three": 3.0, "k": 0.044715, "root": 0.79788456, "one": 1.0, "half": 0.5, "two": 1.41421356}
    done = through(
        ("MatMul", "a w", "m"),
        ("Add", "m b", "x"),
        *GELU_FORMS[form],
        passes=(recognize, fuse_epilogue),
        inputs={"a": (5, 6)},
        outputs="y",
        opset=20,
        w=weights(6, 9),
        b=weights(9),
        **{name: np.float32(value) for name, value in scalars.items()},
    )
    assert done.ops() == ["dense"]
    done.check()


@pytest.mark.parametrize(
    "node",
    [
        ("BitwiseNot", "whole", "y"),
        ("Add", "two three", "y"),
    ],
    ids=["no such function", "constants"],
)
def test_others_are_left(through: Any, node: Any) -> None:
    constants = {"two": np.float32(2), "three": np.float32(3), "whole": np.int64(2)}
    done = through(node, passes=PASSES, inputs={"x": SHAPE}, outputs="y", **constants)
    assert done.ops() == [node[0]]


@pytest.mark.parametrize("dtype", ["int64", "float64", "float16"])
@pytest.mark.parametrize("operator", ["Add", "Mul", "Max"])
def test_other_dtypes_are_left(through: Any, operator: str, dtype: str) -> None:
    inputs = {"x": (dtype, 3), "z": (dtype, 3)}
    assert through((operator, "x z", "y"), passes=PASSES, inputs=inputs, outputs="y").ops() == [operator]
