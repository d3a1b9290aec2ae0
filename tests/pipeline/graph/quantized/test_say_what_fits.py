"""What the graph says of weights, for machines that add products in 16 bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.quantised import Network
from tvmopt.pipeline.graph.ir import Graph
from tvmopt.pipeline.graph.quantized.say_what_fits import say_what_fits
from tvmopt.pipeline.graph.quantized.use_integers import use_integers
from tvmopt.pipeline.graph.read_onnx import read_onnx
from tvmopt.schedules.target import Target, parse_target

AVX2 = parse_target("x86-64-v3", 1)
VNNI = replace(parse_target("x86-64-v4", 1), features=("avx512_vnni",))


def graph_of(weight: int, target: Target) -> Graph:
    """A convolution whose weights are all `weight`, and a dense layer of many rows, likewise."""
    net = Network()
    net.convolution(net.quantised("x", 0.03, 128), (16, 16), "y")
    net.constants["y_w"][...] = weight
    net.constants |= {"w": np.full((6, 24), weight, np.int8), "s": np.float32(0.01)}
    net.add("DequantizeLinear", "w s", "wd")
    net.add("MatMul", f"{net.quantised('y', 0.1, 3)} wd", "p")
    return use_integers(read_onnx(net.model((1, 16, 6, 6), "p")), target)


@pytest.mark.parametrize(
    ("weight", "facts"),
    [(32, {"pairs_fit": 1, "corrections": 0}), (64, {"pairs_fit": 1}), (-64, {"pairs_fit": 1}), (65, {})],
)
def test_kernels_know_which_sums_of_their_products_fit_16_bits(weight: int, facts: dict[str, int]) -> None:
    before = graph_of(weight, AVX2)
    after = say_what_fits(before, AVX2)
    for node, old in zip(after.nodes, before.nodes, strict=True):
        found = {name: value for name, value in node.attrs.items() if name not in old.attrs}
        if node.op == "integer_conv2d":
            assert found == facts
        elif node.op == "integer_dense":
            assert found == {name: value for name, value in facts.items() if name == "pairs_fit"}
        else:
            assert found == {}
    assert {"integer_conv2d", "integer_dense"} <= {node.op for node in after.nodes}


def test_elsewhere_equal_layers_have_equal_workloads() -> None:
    graph = graph_of(32, VNNI)
    assert say_what_fits(graph, VNNI) is graph
