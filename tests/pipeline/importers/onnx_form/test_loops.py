from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.layer_names import name_nodes
from tvmopt.pipeline.importers.onnx_form.normalize import normalize
from tvmopt.pipeline.support.onnxruntime import run_model

SUM_OF_ROUNDS = """
g (float[2,3] x) => (float[2,3] s, float[ROUNDS,2,3] all)
<int64 n = {ROUNDS}, bool go = {1}> {
  s, all = Loop(n, go, x)<body = b (int64 i, bool c, float[2,3] a) => (bool d, float[2,3] e, float[2,3] f) {
    d = Identity(c)  r = Cast<to = 1>(i)  t = Add(a, r)  e = Mul(t, x)  f = Neg(t)
  }>
}"""

COUNTER = """
g (float[4] x) => (float[4] y, int64 j)
<int64 zero = {0}, bool go = {1}, int64 step = {3}, int64 limit = {10}> {
  y, j = Loop("", go, x, zero)<body = b (int64 i, bool c, float[4] a, int64 k) => (bool d, float[4] e, int64 m) {
    e = Sin(a)  m = Add(k, step)  d = Less(m, limit)
  }>
}"""

INNER = """
g (float[3] x) => (float[3] y)
<int64 two = {2}, int64 three = {3}, bool go = {1}> {
  y = Loop(two, go, x)<body = b (int64 i, bool c, float[3] a) => (bool d, float[3] e) {
    d = Identity(c)
    e = Loop(three, c, a)<body = inner (int64 k, bool p, float[3] q) => (bool r, float[3] s) {
      r = Identity(p)  o = Cast<to = 1>(i)  z = Add(q, o)  s = Cos(z)
    }>
  }>
}"""

BRANCHES = """
g (float[3] x) => (float[3] y)
<int64 two = {2}, int64 one = {1}, bool go = {1}> {
  y = Loop(two, go, x)<body = b (int64 i, bool c, float[3] a) => (bool d, float[3] e) {
    d = Identity(c)  odd = Equal(i, one)
    e = If(odd)<then_branch = t () => (float[3] u) { u = Exp(a) }, else_branch = f () => (float[3] v) { v = Sin(a) }>
  }>
}"""

DATA = """
g (float[3] x) => (float[3] y)
<int64 many = {100}, bool go = {1}, float limit = {9}> {
  y = Loop(many, go, x)<body = b (int64 i, bool c, float[3] a) => (bool d, float[3] e) {
    e = Add(a, a)  m = ReduceMax<keepdims = 0>(e)  d = Less(m, limit)
  }>
}"""


@pytest.fixture
def unrolled() -> Callable[[str], list[str]]:
    """Normalises a model without control flow left, compares with onnxruntime, and returns the operators left."""

    def check(text: str) -> list[str]:
        model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 18]>{text}')
        name_nodes(model.graph.node)
        shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        result = normalize(model)
        onnx.checker.check_model(result, full_check=True)
        for feeds in ({"x": x}, {"x": -np.abs(x)}):
            computed = run_model(result, feeds)
            for name, wanted in run_model(model, feeds).items():
                np.testing.assert_allclose(computed[name], wanted, rtol=1e-6)
        return [node.op_type for node in result.graph.node]

    return check


@pytest.mark.parametrize("rounds", [1, 4])
def test_a_trip_count(unrolled: Any, rounds: int) -> None:
    left = unrolled(SUM_OF_ROUNDS.replace("ROUNDS", str(rounds)))
    assert left.count("Mul") == left.count("Neg") == rounds


def test_a_counter_that_is_compared(unrolled: Any) -> None:
    assert unrolled(COUNTER) == ["Sin"] * 4


def test_loops_in_loops(unrolled: Any) -> None:
    assert unrolled(INNER).count("Cos") == 6


def test_branches_in_loops(unrolled: Any) -> None:
    assert unrolled(BRANCHES) == ["Sin", "Exp"]


def test_no_round(unrolled: Any) -> None:
    text = SUM_OF_ROUNDS.replace("ROUNDS", "0").replace(", float[0,2,3] all)", ")").replace("s, all =", "s, unread =")
    assert unrolled(text) in (["Identity"], [])


@pytest.mark.parametrize("backwards", [0, 1])
def test_a_scan(onnx_model: Any, backwards: int) -> None:
    text = """b (float[2] s, float[2] x, float[2] z) => (float[2] t, float[2] o)
        { p = Mul(s, x)  t = Add(p, z)  o = Identity(t) }"""
    attributes = {
        "body": onnx.parser.parse_graph(text),
        "num_scan_inputs": 2,
        "scan_input_axes": [1, -2],
        "scan_input_directions": [backwards, 0],
        "scan_output_axes": [-1],
        "scan_output_directions": [backwards],
    }
    inputs = {"s": (2,), "x": (2, 5), "z": (5, 2)}
    model = onnx_model(("Scan", "s x z", "e o", attributes), inputs=inputs, outputs="e o")
    random = np.random.default_rng(0)
    feeds = {name: random.standard_normal(shape).astype(np.float32) for name, shape in inputs.items()}
    result = normalize(model)
    assert "Scan" not in {node.op_type for node in result.graph.node}
    computed = run_model(result, feeds)
    for name, wanted in run_model(model, feeds).items():
        np.testing.assert_allclose(computed[name], wanted, rtol=1e-6)


def if_(then: str, otherwise: str, size: str = "4") -> str:
    return f"""g (float[4] x) => (float[{size}] y) <float[1] zero = {{0}}, int64 first = {{0}}> {{
        m = ReduceMax(x)  k = Cast<to = 7>(m)  c = Greater(m, zero)
        y = If(c)<then_branch = t () => (float[{size}] u) {{ {then} }}, else_branch = f () => (float[{size}] v)
        {{ {otherwise} }}> }}"""


@pytest.mark.parametrize(("then", "otherwise"), [("u = Sin(x)", "v = Neg(x)"), ("u = Neg(x)", "w = Log(x) v = Abs(w)")])
def test_a_computed_condition_chooses_between_results(unrolled: Any, then: str, otherwise: str) -> None:
    assert "Where" in unrolled(if_(then, otherwise))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (if_("h = Gather(x, k)  u = Add(x, h)", "v = Neg(x)"), "an index may be out of range only there"),
        (if_("i = Div(k, k)  h = Cast<to = 1>(i)  u = Add(x, h)", "v = Neg(x)"), "a divisor may be zero"),
        (if_("h = Gather(x, first)  u = Reshape(h, k)", "v = Neg(x)", "n"), "results of different shapes"),
    ],
)
def test_other_computed_conditions_are_refused(unrolled: Any, text: str, why: str) -> None:
    with pytest.raises(UnsupportedModelError, match="If"):
        unrolled(text)


def test_rounds_that_depend_on_data_are_refused(unrolled: Any) -> None:
    with pytest.raises(UnsupportedModelError, match=r"cannot be compiled: Loop \(1x, first at "):
        unrolled(DATA)


def test_too_many_rounds_are_refused(unrolled: Any) -> None:
    with pytest.raises(UnsupportedModelError, match=r"\(Loop\): its rounds are more than 10000 layers"):
        unrolled(SUM_OF_ROUNDS.replace("ROUNDS", "100000"))
