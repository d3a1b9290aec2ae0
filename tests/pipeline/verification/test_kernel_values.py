"""The ONNX values that kernels' results correspond to, and the layers between two of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from onnx import parser

from tvmopt.pipeline.graph.ir import Origin
from tvmopt.pipeline.types import Step
from tvmopt.pipeline.verification import kernel_values
from tvmopt.pipeline.verification.kernel_values import Point, counterpart, layers_between

KNOWN = ("x", "mean", "a_layout", "b_maps", "cat")
ORIGINS = {
    "x_layout": Origin("x", "layout"),
    "p": Origin("mean", "maps"),
    "p_layout": Origin("p", "layout"),
    "dog_layout": Origin("dog", "layout"),
    "a_layout_layout": Origin("a_layout", "layout"),
    "cat": Origin("gone", "layout"),
}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("mean", "mean"),
        ("dog", None),
        ("x_layout", "x"),
        ("p", "mean"),
        ("p_layout", "mean"),
        ("dog_layout", None),
        ("a_layout_layout", "a_layout"),
        # Names alone prove nothing: without an origin, a value is the model's value of that name, or unknown.
        ("a_layout", "a_layout"),
        ("b_maps", "b_maps"),
        ("mean_layout", None),
        ("mean_maps", None),
        # A copy is never the model's value of the same name, which was fused away.
        ("cat", None),
    ],
)
def test_counterparts(name: str, found: str | None) -> None:
    assert counterpart(name, KNOWN, ORIGINS) == found


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


def test_planes_are_compared_as_volumes() -> None:
    volume = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5, 1)
    planes = volume.swapaxes(1, 2).reshape(8, 3, 5, 1)
    point = Point(Step("k", "conv3d", ("c",), (), "", 0, 0), "c", planes, planes=True)
    assert np.array_equal(point.shaped(volume.shape), volume)
    assert not np.array_equal(replace(point, planes=False).shaped(volume.shape), volume)


def test_parts_that_the_model_has_only_joined_are_compared_joined() -> None:
    origins = {
        "a": Origin("whole", "part", ("a", "b"), 1),
        "whole": Origin("q", "moved"),
        "c": Origin("other", "part", ("c", "d"), 1),
    }
    joints, step = kernel_values._Joints(origins), made_step()
    parts = {name: np.full((1, 2, 3), place, np.uint8) for place, name in enumerate("abc")}
    assert joints.joined(step, {"a": parts["a"], "free": parts["b"]}) == {"free": parts["b"]}
    found = joints.joined(step, {"b": parts["b"], "c": parts["c"]})
    assert list(found) == ["b", "whole"]
    assert np.array_equal(found["whole"], np.concatenate([parts["a"], parts["b"]], axis=1))
    assert joints.joined(step, {}) == {}
    assert joints.left() == [("c", step)]


def made_step() -> Step:
    return Step("kernel", "conv2d", ("layer",), (), "", 0, 0)
