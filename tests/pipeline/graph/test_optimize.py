from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.optimize import optimize, passes
from tvmopt.pipeline.graph.read_onnx import read_onnx
from tvmopt.schedules.target import parse_target


@pytest.fixture
def model(onnx_model: Any, weights: Any, imported: Any) -> Any:
    """A convolution whose batch normalisation cannot join it, imported."""
    norm = {"scale": weights(8), "bias": weights(8), "mean": weights(8), "variance": np.abs(weights(8)) + 0.1}
    return imported(
        onnx_model(
            ("Conv", "x w", "c", {"pads": [1, 1, 1, 1]}),
            ("BatchNormalization", "c scale bias mean variance", "n"),
            ("Add", "c n", "s"),
            ("Relu", "s", "y"),
            inputs={"x": (1, 3, 6, 6)},
            outputs="y",
            w=weights(8, 3, 3, 3),
            **norm,
        )
    )


@pytest.mark.parametrize("name", ["x86-64-v4", "x86-64-v3", "aarch64"])
def test_cpus_get_the_layout_of_their_vectors(model: Any, name: str) -> None:
    target = parse_target(name)
    optimized = optimize(model, target)
    nodes = optimized.graph.nodes
    assert [node.op for node in nodes] == ["relayout", "conv2d", "relayout"]
    assert [optimized.graph.tensor(node.output).block for node in nodes] == [1, target.lanes("float32"), 1]
    assert nodes[1].layers == ("Conv0", "BatchNormalization1", "Add2", "Relu3")
    assert optimized.target is target
    assert optimized.model is model


def test_gpus_keep_onnxs_operators(model: Any) -> None:
    optimized = optimize(model, parse_target("cuda"))
    assert [node.kind for node in optimized.graph.nodes] == ["Conv", "pointwise", "Add", "Relu"]


def test_no_pass_changes_the_graph_it_was_given(model: Any) -> None:
    target = parse_target("x86-64-v3")
    graph = read_onnx(model.normalized)
    for run in passes(target):
        nodes, values, constants = graph.nodes, dict(graph.values), dict(graph.constants)
        result = run(graph)
        assert graph.nodes is nodes
        assert graph.values == values
        assert graph.constants.keys() == constants.keys()
        assert all(graph.constants[name] is constants[name] for name in constants)
        graph = result


def test_optimizing_leaves_the_model_alone(model: Any) -> None:
    before = model.normalized.SerializeToString()
    optimize(model, parse_target("x86-64-v3"))
    assert model.normalized.SerializeToString() == before
