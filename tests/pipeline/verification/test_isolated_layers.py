"""Every layer computed from given values, so that errors do not propagate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.verification.isolated_layers import run_given

Parse = Callable[..., onnx.ModelProto]

CHAIN = "g (float[4] x) => (float[4] y) { a = Neg (x) b = Exp (a) c = Sqrt (b) y = Add (c, a) }"


def test_values_come_from_what_is_given(parse: Parse) -> None:
    model = parse(CHAIN)
    before = model.SerializeToString()
    x = np.float32([1, 2, 3, 4])
    a, c = np.float32([10, 20, 30, 40]), np.float32([0, 0, 0, 0])
    found = run_given(model, {"x": x}, {"a": a, "c": c}, ["a", "c", "y"])
    np.testing.assert_array_equal(found["a"], -x)
    np.testing.assert_allclose(found["c"], np.sqrt(np.exp(a)), rtol=1e-6)
    np.testing.assert_array_equal(found["y"], c + a)
    assert model.SerializeToString() == before


def test_nothing_given_is_the_model_itself(parse: Parse) -> None:
    model, inputs = parse(CHAIN), {"x": np.float32([1, 2, 3, 4])}
    np.testing.assert_array_equal(run_given(model, inputs, {}, ["y"])["y"], run_model(model, inputs)["y"])


def test_subgraphs_read_what_is_given(parse: Parse) -> None:
    model = parse(
        "g (float[2] x, bool cond) => (float[2] y) { a = Neg (x) y = If (cond) "
        "<then_branch = t () => (float[2] p) { p = Exp (a) }, else_branch = e () => (float[2] q) { q = Abs (a) }> }"
    )
    inputs = {"x": np.float32([1, 2]), "cond": np.array(False)}
    found = run_given(model, inputs, {"a": np.float32([-7, 8])}, ["a", "y"])
    np.testing.assert_array_equal(found["y"], [7, 8])
    np.testing.assert_array_equal(found["a"], [-1, -2])


def test_names_that_are_taken(parse: Parse) -> None:
    model = parse("g (float[2] x) => (float[2] y) { a = Neg (x) b = Exp (a) y = Add (a, b) }")
    for node in model.graph.node:
        node.output[:] = ["given:a" if name == "b" else name for name in node.output]
        node.input[:] = ["given:a" if name == "b" else name for name in node.input]
    found = run_given(model, {"x": np.float32([1, 2])}, {"a": np.float32([0, 0])}, ["given:a", "y"])
    np.testing.assert_array_equal(found["given:a"], [1, 1])
    np.testing.assert_array_equal(found["y"], [1, 1])


def test_values_that_a_layer_refuses(parse: Parse) -> None:
    model = parse(
        "g (int64[2] x) => (float[2] y) { a = Abs (x) y = Gather (table, a) }", table=np.arange(4, dtype=np.float32)
    )
    with pytest.raises(UnsupportedModelError, match="onnxruntime cannot run the model"):
        run_given(model, {"x": np.array([0, 1])}, {"a": np.array([0, 99])}, ["a", "y"])
