"""Which values of the ONNX model a kernel's results are, and which layers lie between two of them."""

from __future__ import annotations

import pytest
from onnx import parser

from tvmopt.pipeline.verification.kernel_values import counterpart, layers_between

KNOWN = ("x", "mean", "a_layout", "b_maps", "cat")


@pytest.mark.parametrize(
    ("operator", "name", "found"),
    [
        ("conv2d", "cat", "cat"),
        ("conv2d", "dog", None),
        ("relayout", "x_layout", "x"),
        ("relayout", "x_layout_12", "x"),
        ("relayout", "mean_maps_layout", "mean"),
        ("relayout", "mean_maps_1_layout_2", "mean"),
        ("relayout", "dog_layout", None),
        ("pool2d", "mean_maps", "mean"),
        ("pool2d", "mean_maps_3", "mean"),
        # Names that the model has itself are what they are …
        ("conv2d", "a_layout", "a_layout"),
        ("pool2d", "b_maps", "b_maps"),
        ("relayout", "a_layout_layout", "a_layout"),
        # … but a copy of a value that was fused away is no other value.
        ("relayout", "a_layout", None),
        ("conv2d", "cat_layout", None),
    ],
)
def test_counterparts(operator: str, name: str, found: str | None) -> None:
    assert counterpart(operator, name, KNOWN) == found


def test_layers_between_values() -> None:
    graph = parser.parse_graph(
        "g (float[2] x) => (float[2] y) { a=Neg(x) b=Exp(a) c=Abs(x) d=Add(b,c) e=Exp(d) y=Neg(e) }"
    )
    for node in graph.node:
        node.name = node.output[0].upper()
    assert layers_between(graph, "y", ()) == ("A", "B", "C", "D", "E", "Y")
    assert layers_between(graph, "y", ("d", "y")) == ("E", "Y")
    assert layers_between(graph, "d", ("b", "d")) == ("C", "D")
    assert layers_between(graph, "x", ()) == ()


def test_layers_that_a_subgraph_reads() -> None:
    graph = parser.parse_graph(
        "g (float[2] x, bool z) => (float[2] y) { a=Neg(x) b=Exp(x) y=If(z) "
        "<then_branch = t () => (float[2] p) { p=Exp(a) }, else_branch = e () => (float[2] q) { q=Abs(b) }> }"
    )
    for node in graph.node:
        node.name = node.output[0].upper()
    assert layers_between(graph, "y", ("b",)) == ("A", "Y")
