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


def test_dead_code_goes() -> None:
    given = graph(node("a", "x c", "u"), node("b", "x", "v"), node("d", "v", "w"), outputs="u")
    kept = without_dead_code(given)
    assert [one.op for one in kept.nodes] == ["a"]
    assert set(kept.values) == {"x", "u"}
    assert set(kept.constants) == {"c"}
    assert len(given.nodes) == 3


def test_a_node_stays_for_one_of_its_outputs() -> None:
    kept = without_dead_code(graph(node("split", "x", "u v"), node("b", "v", "w"), outputs="u"))
    assert [one.op for one in kept.nodes] == ["split"]
    assert set(kept.values) == {"x", "u", "v"}


def test_inputs_stay_even_when_nothing_reads_them() -> None:
    kept = without_dead_code(graph(node("a", "c", "u"), outputs="u"))
    assert kept.inputs == ("x",)
    assert "x" in kept.values


def test_uses_count_outputs_and_repeated_reads() -> None:
    given = graph(node("a", "x x", "u"), node("b", "u c", "v"), outputs="u v")
    assert given.uses() == {"x": 2, "u": 2, "c": 1, "v": 1}
    assert given.producers()["v"].op == "b"


def test_what_a_graph_knows_of_a_value() -> None:
    given = graph(node("a", "x c", "u"), outputs="u")
    assert given.tensor("u") == FOUR
    assert given.tensor("c") == Tensor((1,))
    assert given.scalar("c") == 1.0
    assert given.scalar("x") is None
    with pytest.raises(KeyError):
        given.tensor("nothing")


def test_only_nodes_with_one_output_have_the_output() -> None:
    assert node("a", "x", "u").output == "u"
    with pytest.raises(ValueError, match="too many values"):
        _ = node("split", "x", "u v").output


def test_rewriting_leaves_the_given_graph_alone() -> None:
    given = graph(node("a", "x", "u"), node("b", "u", "v"), outputs="v")

    def swap(editor: Editor, one: Node) -> bool:
        if one.op != "a":
            return False
        name = editor.constant("c", np.zeros(4, np.float32))
        editor.add(Node("z", (*one.inputs, name), one.outputs, one.layers))
        return True

    made = rewrite(given, swap)
    assert [one.op for one in made.nodes] == ["z", "b"]
    assert made.nodes[0].inputs == ("x", "c_1")
    assert [one.op for one in given.nodes] == ["a", "b"]
    assert set(given.constants) == {"c"}


def test_renames_reach_later_readers_and_outputs() -> None:
    given = graph(
        node("a", "x", "u"), node("same", "u", "v"), node("same", "v", "w"), node("b", "w", "y"), outputs="y w"
    )

    def drop(editor: Editor, one: Node) -> bool:
        if one.op == "same":
            editor.rename(one.output, one.inputs[0])
        return one.op == "same"

    made = rewrite(given, drop)
    assert [(one.op, one.inputs) for one in made.nodes] == [("a", ("x",)), ("b", ("u",))]
    assert made.outputs == ("y", "u")


def test_new_names_are_unique() -> None:
    editor = Editor(graph(node("a", "x", "u"), outputs="u"))
    assert [editor.value("u", FOUR), editor.value("u", FOUR), editor.constant("u", np.zeros(1))] == [
        "u_1",
        "u_2",
        "u_3",
    ]
