from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.passes.fuse_epilogue import fuse_epilogue
from tvmopt.pipeline.graph.recognize import recognize, recognize_typed
from tvmopt.pipeline.graph.recognize.typed import RULES
from tvmopt.schedules.target import parse_target

TARGET = parse_target("x86-64-v3", 1)
PASSES = (recognize, recognize_typed)
SHAPE = (2, 3, 4)
TWO = {"outputs": "y", "two": np.int64(2)}
COMPARISONS = ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal")
TO = {"float32": 1, "int32": 6, "int64": 7, "bool": 9, "float16": 10, "uint8": 2}


@pytest.mark.parametrize("operator", COMPARISONS)
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_comparisons(through: Any, operator: str, dtype: str) -> None:
    inputs = {"x": (dtype, *SHAPE), "z": (dtype, 3, 1)}
    done = through((operator, "x z", "y"), passes=PASSES, inputs=inputs, outputs="y")
    assert done.ops() == ["pointwise"]
    done.check_templates(TARGET)
    done.check()


@pytest.mark.parametrize("operator", ["And", "Or", "Xor", "Equal"])
def test_truth_values(through: Any, operator: str) -> None:
    nodes = [(operator, "x z", "p"), ("Not", "p", "y")]
    done = through(*nodes, passes=PASSES, inputs={"x": ("bool", *SHAPE), "z": ("bool", 4)}, outputs="y")
    assert done.ops() == ["pointwise", "pointwise"]
    done.check()


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Max", "Min"])
def test_integers(through: Any, operator: str) -> None:
    inputs = {"x": ("int64", *SHAPE), "z": ("int64", 4)}
    done = through((operator, "x z", "p"), (operator, "p two", "y"), passes=PASSES, inputs=inputs, **TWO)
    # Numbers of an expression are float32, so the constant stays an operand.
    assert [node.inputs for node in done.graph.nodes] == [("x", "z"), ("p", "two")]
    done.check()


@pytest.mark.parametrize("source", ["float32", "int32", "bool", "uint8"])
@pytest.mark.parametrize("target", TO)
def test_casts(through: Any, source: str, target: str) -> None:
    done = through(("Cast", "x", "y", {"to": TO[target]}), passes=PASSES, inputs={"x": (source, *SHAPE)}, outputs="y")
    same_everywhere = target not in ("float16", "uint8") and source != target
    assert done.ops() == (["pointwise"] if same_everywhere else ["Cast"])
    done.check()


def test_a_choice_by_comparison_is_one_kernel(through: Any) -> None:
    nodes = [("Less", "x zero", "n"), ("Not", "n", "p"), ("Mul", "x tenth", "s"), ("Where", "p x s", "y")]
    constants = {"zero": np.float32(0), "tenth": np.float32(0.1)}
    done = through(*nodes, passes=(*PASSES, fuse_epilogue), inputs={"x": SHAPE}, outputs="y", **constants)
    assert done.ops() == ["pointwise"]
    assert done.node("pointwise").inputs == ("x",)
    done.check_templates(TARGET)
    done.check()


def test_other_types_become_no_epilogue(through: Any, weights: Any) -> None:
    nodes = [("MatMul", "x w", "m"), ("Greater", "m zero", "y"), ("MatMul", "x w", "k"), ("Where", "c k zero", "z")]
    inputs = {"x": (4, 5), "c": ("bool", 4, 6)}
    constants = {"w": weights(5, 6), "zero": np.float32(0)}
    done = through(*nodes, passes=(*PASSES, fuse_epilogue), inputs=inputs, outputs="y z", **constants)
    assert done.ops() == ["dense", "pointwise", "dense", "pointwise"]
    done.check()


@pytest.mark.parametrize("fill", [0.0, -np.inf, np.nan])
def test_what_is_chosen(through: Any, fill: float) -> None:
    inputs = {"c": ("bool", 2, 1, 4), "x": SHAPE}
    done = through(("Where", "c x fill", "y"), passes=PASSES, inputs=inputs, outputs="y", fill=np.float32(fill))
    # TVM computes with numbers when compiling, and those that are not finite stay operands.
    assert done.node("pointwise").inputs == (("c", "x") if fill == 0 else ("c", "x", "fill"))
    done.check()


@pytest.mark.parametrize("attributes", [{}, {"detect_positive": 0}, {"detect_negative": 0}])
def test_infinities(through: Any, attributes: Any) -> None:
    done = through(("IsInf", "x", "y", attributes), passes=PASSES, inputs={"x": SHAPE}, outputs="y")
    assert done.ops() == (["IsInf"] if attributes else ["pointwise"])
    done.check()


@pytest.mark.parametrize("operator", sorted({*RULES} - {"And", "Or", "Xor", "Not"}))
def test_float16_is_left_to_tvm(through: Any, operator: str) -> None:
    names = {"Where": "cxz", "Cast": "x", "IsNaN": "x", "IsInf": "x"}.get(operator, "xz")
    inputs = {name: ("bool" if name == "c" else "float16", *SHAPE) for name in names}
    attributes = {"to": 1} if operator == "Cast" else {}
    done = through((operator, " ".join(names), "y", attributes), passes=PASSES, inputs=inputs, outputs="y", opset=20)
    assert done.ops() == [operator]
