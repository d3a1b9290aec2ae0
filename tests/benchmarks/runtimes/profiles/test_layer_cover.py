"""Kernels that name one layer each, and the layers fused into them."""

from __future__ import annotations

from onnx import parser

from tvmopt.benchmarks.runtimes.profiles.layer_cover import LayerGraph, cover_layers, find_layer, layers_of
from tvmopt.pipeline.importers.onnx_form.layer_names import name_nodes

RESIDUAL = """residual (float[1,8,4,4] x) => (float[1,8,4,4] y) {
    a = Conv (x, w)
    b = Relu (a)
    c = Conv (b, w)
    d = Conv (x, w)
    e = Add (c, d)
    f = Relu (e)
    g = Reshape (f, shape)
    y = Conv (g, w)
}"""


def graph(text: str = RESIDUAL) -> LayerGraph:
    parsed = parser.parse_graph(text)
    name_nodes(parsed.node)
    return layers_of(parsed)


def test_layers_are_found_by_name_and_by_value() -> None:
    layers = graph()
    assert list(layers.operators)[:2] == ["Conv_a", "Relu_b"]
    assert (layers.find("Conv_a"), layers.find("b"), layers.find("w")) == ("Conv_a", "Relu_b", None)
    assert layers.inputs["Add_e"] == ("Conv_c", "Conv_d")
    assert layers.readers["Relu_f"] == ("Reshape_g",)
    assert find_layer(layers, "fused b", lambda name: [name.removeprefix("fused ")]) == "Relu_b"


def test_unclaimed_layers_go_to_their_neighbours() -> None:
    kernels = cover_layers(graph(), [{"Relu_b"}, {"Conv_d"}, {"Conv_c"}, {"Conv_y"}])
    assert kernels == [
        ("Conv_a", "Relu_b"),
        ("Conv_d",),
        ("Conv_c", "Add_e", "Relu_f"),  # the last kernel that makes an input of the sum
        ("Reshape_g", "Conv_y"),
    ]


def test_the_sum_goes_to_whichever_runs_last() -> None:
    kernels = cover_layers(graph(), [{"Relu_b"}, {"Conv_c"}, {"Conv_d"}, {"Conv_y"}])
    assert kernels[2] == ("Conv_d", "Add_e", "Relu_f")


def test_kernels_without_claims_get_nothing() -> None:
    assert cover_layers(graph(), [(), {"Conv_y"}])[0] == ()
    assert cover_layers(graph(), [(), ()]) == [(), ()]


def test_a_single_kernel_covers_every_layer() -> None:
    layers = graph()
    assert cover_layers(layers, [{"Conv_y"}]) == [tuple(layers.operators)]
    assert cover_layers(layers, [{"Conv_a"}]) == [tuple(layers.operators)]
