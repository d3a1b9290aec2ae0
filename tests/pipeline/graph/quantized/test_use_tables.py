"""Chains of element-wise operators of one quantised value, as tables: each of the 256 values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.pipeline.graph.quantized.passing import BYTES, passed
from tests.quantised import Network
from tvmopt.pipeline.graph.ir import Graph
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.schedules.expression import tables_of
from tvmopt.schedules.target import parse_target

Evaluate = Any

CHAINS = {
    "Sigmoid": [("Sigmoid", "x", {})],
    "Tanh": [("Tanh", "x", {})],
    "SiLU": [("Sigmoid", "x", {}), ("Mul", "x 0", {})],
    "h-swish": [("HardSigmoid", "x", {"alpha": 1 / 6}), ("Mul", "x 0", {})],
    "HardSwish": [("HardSwish", "x", {})],
    "LeakyRelu": [("LeakyRelu", "x", {"alpha": 0.1})],
    "Elu, Clip, Exp": [("Elu", "x", {}), ("Clip", "0 low high", {}), ("Exp", "1", {})],
    "Log of negative numbers": [("Log", "x", {}), ("Tanh", "0", {})],
}

LONG = ("Sigmoid", "Tanh", "SiLU", "Elu, Clip, Exp", "Log of negative numbers")
"""Those that are tables wherever they are."""


def chain(name: str, between: bool, shape: tuple[int, ...] = (1, 16, 4, 4)) -> Any:
    """A model with the operators between two scales, and between each other if wanted."""
    net = Network()
    net.constants |= {"low": np.float32(-0.5), "high": np.float32(1.5)}
    made = {"x": net.quantised("x", 0.05, 120)}
    steps = CHAINS[name]
    for place, (kind, taken, attributes) in enumerate(steps):
        names = " ".join(made.get(one, one) for one in taken.split())
        result = net.add(kind, names, f"m{place}", **attributes)
        last = place == len(steps) - 1
        made[str(place)] = net.quantised(result, 0.02, 90) if between or last else result
    return net.model(shape, made[str(len(steps) - 1)])


def every_value(graph: Graph) -> dict[str, np.ndarray]:
    shape = graph.values["x"].shape
    return {"x": ((np.arange(256) - 120) * np.float32(0.05)).astype(np.float32).reshape(shape)}


def looked_up(graph: Graph) -> int:
    return sum(bool(tables_of(node.epilogue)) for node in graph.nodes)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("between", [False, True])
def test_each_value_is_as_the_model_computes_it(name: str, between: bool, evaluated: Evaluate) -> None:
    model = chain(name, between)
    graph = passed(model)
    assert looked_up(graph) == (name in LONG or (between and name == "h-swish"))
    inputs = every_value(graph)
    wanted, got = next(iter(run_model(model, inputs).values())), evaluated(graph, inputs)[0]
    assert np.abs(wanted - got).max() <= 1e-6


def test_without_the_instruction_only_long_chains_are_tables(evaluated: Evaluate) -> None:
    target = parse_target("x86-64-v3", 1)
    assert looked_up(passed(chain("Sigmoid", True), target)) == 1
    assert looked_up(passed(chain("LeakyRelu", True), target)) == 0


def test_a_table_behind_a_convolution_is_part_of_its_kernel(evaluated: Evaluate) -> None:
    net = Network()
    y = net.quantised(net.convolution(net.quantised("x", 0.03, 128), (16, 32), "y"), 0.02, 100)
    gate = net.quantised(net.add("Sigmoid", y, "s"), 1 / 256, 0)
    net.convolution(net.quantised(net.add("Mul", f"{y} {gate}", "m"), 0.02, 30), (32, 16), "z")
    graph = passed(net.model((1, 16, 8, 8), "z"))
    assert [node.kind for node in graph.nodes if node.kind != "relayout"] == [
        "pointwise",
        "integer_conv2d",
        "integer_conv2d",
    ]
    assert looked_up(graph) == 1


def test_values_that_need_more_than_one_quantised_value_are_computed(evaluated: Evaluate) -> None:
    net = Network()
    x = net.quantised("x", 0.03, 128)
    gate = net.quantised(net.add("GlobalAveragePool", x, "g"), 0.01, 100)
    net.quantised(net.add("Mul", f"{x} {net.quantised(net.add('Sigmoid', gate, 's'), 1 / 256, 0)}", "m"), 0.02, 100)
    model = net.model((1, 16, 4, 4), "m_dq")
    graph = passed(model, BYTES)
    assert looked_up(graph) == 1
    inputs = {"x": np.random.default_rng(0).standard_normal((1, 16, 4, 4)).astype(np.float32)}
    off = np.abs(run_model(model, inputs)["m_dq"] - evaluated(graph, inputs)[0])
    assert off.max() <= 0.0201
    assert (off > 1e-5).mean() < 0.02
