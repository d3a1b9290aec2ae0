from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.cleanup import clean_graph, drop_initializer_inputs, sort_selections
from tvmopt.pipeline.support.onnxruntime import run_model

Parse = Callable[..., onnx.ModelProto]


def ops(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def assert_unchanged(model: onnx.ModelProto, before: onnx.ModelProto) -> None:
    inputs = {"x": np.linspace(-1, 1, 4, dtype=np.float32).reshape(1, 4)}
    expected, computed = run_model(before, inputs), run_model(model, inputs)
    assert expected.keys() == computed.keys()
    for name, value in expected.items():
        assert np.array_equal(value, computed[name])


@pytest.mark.parametrize(
    ("nodes", "outputs", "left"),
    [
        ("a=Identity(x) b=Identity(a) c=Relu(b) y=Identity(c)", "y", ["Relu"]),
        ("y=Identity(x)", "y", ["Identity"]),
        ("a=Relu(x) y=Identity(a) z=Identity(a)", "y z", ["Relu", "Identity"]),
        ("a=Relu(x) y=Identity(a) z=Identity(y)", "y z", ["Relu", "Identity"]),
        ("a=Relu(x) b=Identity(a) y=Identity(b) c=Abs(b) z=Neg(a) w=Add(c,z)", "y w", ["Relu", "Abs", "Neg", "Add"]),
        ("a=Relu(x) y=Dropout(a)", "a y", ["Relu", "Identity"]),
        ("a,mask=Dropout(x) y=Abs(a)", "y", ["Abs"]),
        ("k=Constant<value_float=2.0>() y=Mul(x,k)", "y", ["Mul"]),
        ("k=Constant<value_floats=[1.0,2.0,3.0,4.0]>() y=Mul(x,k)", "y", ["Mul"]),
        ("k=Constant<value_ints=[2,2]>() y=Reshape(x,k)", "y", ["Reshape"]),
        ("k=Constant<value=float[1] {3}>() i=Identity(k) y=Identity(i) z=Mul(x,i)", "y z", ["Identity", "Mul"]),
    ],
)
def test_nodes_left_after_cleanup(parse: Parse, nodes: str, outputs: str, left: list[str]) -> None:
    declared = ", ".join(f"float[d_{name}] {name}" for name in outputs.split())
    before = parse(f"g (float[1,4] x) => ({declared}) {{ {nodes} }}")
    for output in before.graph.output:
        output.type.tensor_type.ClearField("shape")
    model = onnx.ModelProto.FromString(before.SerializeToString())
    clean_graph(model)
    assert ops(model) == left
    assert_unchanged(model, before)


def test_unread_outputs_are_removed_unless_their_number_matters(parse: Parse) -> None:
    model = parse(
        "g (float[1,4] x, float[4] w) => (float[1,4] y, float[1,2] p)"
        " { y,mean,deviation=LayerNormalization(x,w) p,q=Split<axis=1,num_outputs=2>(x) }"
    )
    clean_graph(model)
    assert [list(node.output) for node in model.graph.node] == [["y"], ["p", "q"]]


def test_unread_initialisers_are_removed(parse: Parse) -> None:
    model = parse("g (float[1,4] x) => (float[1,4] y) { y=Relu(x) }", unused=np.ones(3, np.float32))
    clean_graph(model)
    assert not model.graph.initializer


def test_dropout_that_is_on_is_refused(parse: Parse) -> None:
    on = "g (float[1,4] x) => (float[1,4] y) <float r={0.5}, bool t={1}> { y=Dropout(x,r,t) }"
    with pytest.raises(UnsupportedModelError, match="Dropout in training mode"):
        clean_graph(parse(on))
    off = parse(on.replace("t={1}", "t={0}").replace("y=Dropout(x,r,t)", "a=Dropout(x,r,t) y=Abs(a)"))
    clean_graph(off)
    assert ops(off) == ["Abs"]


def test_a_constant_string_is_refused(parse: Parse) -> None:
    model = parse('g (float[1] x) => (string y) { y=Constant<value_string="s">() }')
    with pytest.raises(UnsupportedModelError, match="only tensors of numbers"):
        clean_graph(model)


def test_initialisers_are_no_inputs(parse: Parse) -> None:
    graph = "g (float[1,4] x, float[4,4] w) => (float[1,4] y) { y=MatMul(x,w) }"
    model = parse(graph, opset=7, ir_version=3, w=np.eye(4, dtype=np.float32))
    drop_initializer_inputs(model)
    assert [value.name for value in model.graph.input] == ["x"]
    assert model.ir_version == 4


def test_unsorted_selections_become_sorted(parse: Parse) -> None:
    model = parse(
        """g (float[9] x, bool c) => (float[3] y) <int64[1] k = {3}> { v, i = TopK<sorted = 0>(x, k)
        y = If(c) <then_branch = t () => (float[3] p) { p, q = TopK<sorted = 0>(x, k) },
                   else_branch = e () => (float[3] r) { r = Neg(v) }> }"""
    )
    sort_selections(model.graph)
    x = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5], np.float32)
    for c, expected in ((True, [9, 6, 5]), (False, [-9, -6, -5])):
        np.testing.assert_array_equal(run_model(model, {"x": x, "c": np.array(c)})["y"], np.float32(expected))
