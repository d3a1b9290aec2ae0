from __future__ import annotations

import numpy as np
import pytest

from tvmopt.pipeline.graph.ir import Editor, Graph, Node, rewrite, without_dead_code
from tvmopt.schedules.workload import Tensor

FOUR = Tensor((4,))


def node(op: str, inputs: str, outputs: str) -> Node:
    return Node(op, tuple(inputs.split()), tuple(outputs.split()), (op,))


def graph(*nodes: Node, outputs: str) -> Graph:
    values = {name: FOUR for one in nodes for name in one.outputs} | {"x": FOUR}
    return Graph(nodes, values, {"c": np.ones(1, np.float32)}, ("x",), tuple(outputs.split()), 18)


def test_a_node_needs_an_operator_of_the_table() -> None:
    with pytest.raises(ValueError, match="unknown operator 'fourier'; expected one of conv2d, "):
        node("fourier", "x", "y")
    assert node("conv2d", "x w", "y").operator.weights == (1,)


def test_dead_code_goes() -> None:
    given = graph(node("pointwise", "x c", "u"), node("softmax", "x", "v"), node("reduce", "v", "w"), outputs="u")
    kept = without_dead_code(given)
    assert [one.op for one in kept.nodes] == ["pointwise"]
    assert set(kept.values) == {"x", "u"}
    assert set(kept.constants) == {"c"}
    assert len(given.nodes) == 3


def test_a_node_stays_for_one_of_its_outputs() -> None:
    kept = without_dead_code(graph(node("onnx", "x", "u v"), node("softmax", "v", "w"), outputs="u"))
    assert [one.op for one in kept.nodes] == ["onnx"]
    assert set(kept.values) == {"x", "u", "v"}


def test_inputs_stay_even_when_nothing_reads_them() -> None:
    kept = without_dead_code(graph(node("pointwise", "c", "u"), outputs="u"))
    assert kept.inputs == ("x",)
    assert "x" in kept.values


def test_uses_count_outputs_and_repeated_reads() -> None:
    given = graph(node("pointwise", "x x", "u"), node("softmax", "u c", "v"), outputs="u v")
    assert given.uses() == {"x": 2, "u": 2, "c": 1, "v": 1}
    assert given.producers()["v"].op == "softmax"


def test_a_graph_describes_its_values() -> None:
    given = graph(node("pointwise", "x c", "u"), outputs="u")
    assert given.tensor("u") == FOUR
    assert given.tensor("c") == Tensor((1,))
    assert given.scalar("c") == 1.0
    assert given.scalar("x") is None
    with pytest.raises(KeyError):
        given.tensor("nothing")


def test_only_nodes_with_one_output_have_the_output() -> None:
    assert node("pointwise", "x", "u").output == "u"
    with pytest.raises(ValueError, match="too many values"):
        _ = node("onnx", "x", "u v").output


def test_rewriting_leaves_the_given_graph_alone() -> None:
    given = graph(node("pointwise", "x", "u"), node("softmax", "u", "v"), outputs="v")

    def swap(editor: Editor, one: Node) -> bool:
        if one.op != "pointwise":
            return False
        name = editor.constant("c", np.zeros(4, np.float32))
        editor.add(Node("concat", (*one.inputs, name), one.outputs, one.layers))
        return True

    made = rewrite(given, swap)
    assert [one.op for one in made.nodes] == ["concat", "softmax"]
    assert made.nodes[0].inputs == ("x", "c_1")
    assert [one.op for one in given.nodes] == ["pointwise", "softmax"]
    assert set(given.constants) == {"c"}


def test_renames_reach_later_readers_and_outputs() -> None:
    given = graph(
        node("pointwise", "x", "u"),
        node("reshape", "u", "v"),
        node("reshape", "v", "w"),
        node("softmax", "w", "y"),
        outputs="y w",
    )

    def drop(editor: Editor, one: Node) -> bool:
        if one.op == "reshape":
            editor.rename(one.output, one.inputs[0])
        return one.op == "reshape"

    made = rewrite(given, drop)
    assert [(one.op, one.inputs) for one in made.nodes] == [("pointwise", ("x",)), ("softmax", ("u",))]
    assert made.outputs == ("y", "u")


def test_new_names_are_unique() -> None:
    editor = Editor(graph(node("pointwise", "x", "u"), outputs="u"))
    assert [editor.value("u", FOUR), editor.value("u", FOUR), editor.constant("u", np.zeros(1))] == [
        "u_1",
        "u_2",
        "u_3",
    ]
