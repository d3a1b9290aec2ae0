from __future__ import annotations

from collections.abc import Callable

import onnx

from tvmopt.pipeline.importers.onnx_form.layer_names import layer_of, name_nodes, record_layers

Parse = Callable[..., onnx.ModelProto]


def named(parse: Parse, graph: str, *names: str) -> onnx.ModelProto:
    model = parse(graph)
    for node, name in zip(model.graph.node, names, strict=True):
        node.name = name
    return model


def test_names_that_are_there_stay_and_others_are_made_up(parse: Parse) -> None:
    model = named(parse, "g (float[1] x) => (float[1] y) { a=Relu(x) b=Abs(a) c=Neg(b) y=Relu(c) }", "n", "", "n", "")
    name_nodes(model.graph.node)
    assert [node.name for node in model.graph.node] == ["n", "Abs_b", "n_1", "Relu_y"]


def test_nodes_are_recognised_by_name_then_value_then_consumer(parse: Parse) -> None:
    original = named(
        parse, "g (float[1] x) => (float[1] y) { a=Neg(x) b=HardSwish(a) y=Relu(b) }", "first", "second", "third"
    )
    rewritten = named(
        parse,
        "g (float[1] x) => (float[1] y) { new=Neg(x) h=HardSigmoid(new) b=Mul(new,h) y=Relu(b) }",
        "first",
        "",
        "",
        "q",
    )
    record_layers(rewritten.graph, original.graph)
    assert [layer_of(node) for node in rewritten.graph.node] == ["first", "second", "second", "third"]
    assert [node.name for node in rewritten.graph.node] == ["first", "second/HardSigmoid", "second/Mul", "q"]


def test_a_node_without_note_is_its_own_layer() -> None:
    assert layer_of(onnx.helper.make_node("Relu", ["x"], ["y"], name="mine")) == "mine"
