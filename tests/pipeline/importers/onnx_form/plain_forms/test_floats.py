"""Operators of onnxruntime's own domain, GroupNormalization, functions of ONNX: written with supported operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers import example_inputs
from tvmopt.pipeline.importers.onnx_form.operators import MICROSOFT, standard_operators, supported_operators
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.types import ImportedModel

Import = Callable[[onnx.ModelProto], ImportedModel]


def model_of(
    node: onnx.NodeProto, inputs: dict[str, tuple[str, tuple[int, ...]]], opset: int, **constants: np.ndarray
) -> onnx.ModelProto:
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
        for name, (dtype, shape) in inputs.items()
    ]
    outputs = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in node.output if name]
    stored = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph([node], "g", infos, outputs, stored)
    domains = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=10)


def check(model: ImportedModel, tolerance: float = 2e-6) -> None:
    """Both forms agree with onnxruntime, and the plain one holds supported operators of ONNX only."""
    inputs = example_inputs(model, seed=3)
    expected, made = run_model(model.original, inputs), run_model(model.normalized, inputs)
    assert {node.op_type for node in model.normalized.graph.node} <= supported_operators() & standard_operators()
    assert {node.domain for node in model.normalized.graph.node} == {""}
    for name, array in expected.items():
        scale = max(1.0, float(np.abs(array.astype(np.float64)).max()))
        np.testing.assert_allclose(made[name].astype(np.float64), array.astype(np.float64), atol=tolerance * scale)


X = {"x": ("float32", (2, 3, 5))}


@pytest.mark.parametrize("opset", [11, 13, 17, 21])
@pytest.mark.parametrize(
    ("operator", "operands", "attributes"),
    [
        ("Gelu", "x", {}),
        ("FastGelu", "x", {}),
        ("FastGelu", "x b", {}),
        ("BiasGelu", "x b", {}),
        ("QuickGelu", "x", {}),
        ("QuickGelu", "x", {"alpha": 0.7}),
        ("SkipLayerNormalization", "x s g b", {}),
        ("SkipLayerNormalization", "x s g", {"epsilon": 0.1}),
        ("SkipLayerNormalization", "x s g b c", {"epsilon": 0.1}),
        ("FusedMatMul", "x w", {}),
        ("FusedMatMul", "x s", {"transB": 1, "alpha": 0.125}),
        ("FusedMatMul", "x s", {"transA": 1}),
    ],
)
def test_operators_of_onnxruntime(
    imported: Import,
    normal: Callable[..., np.ndarray],
    opset: int,
    operator: str,
    operands: str,
    attributes: dict[str, Any],
) -> None:
    node = helper.make_node(operator, operands.split(), ["y"], "layer", domain=MICROSOFT, **attributes)
    stored = {"b": normal(5), "g": normal(5), "c": 2 * normal(5), "w": normal(5, 7)}
    inputs = {name: ("float32", (2, 3, 5)) for name in operands.split() if name in "xs"}
    used = {name: array for name, array in stored.items() if name in operands.split()}
    check(imported(model_of(node, inputs, opset, **used)))


def test_a_chain_of_them_and_a_second_output(imported: Import, normal: Callable[..., np.ndarray]) -> None:
    nodes = [
        helper.make_node("SkipLayerNormalization", ["x", "x", "g"], ["n", "", "", "sum"], "norm", domain=MICROSOFT),
        helper.make_node("FusedMatMul", ["n", "x"], ["p"], "product", domain=MICROSOFT, transB=1),
        helper.make_node("Relu", ["p"], ["r"], "relu"),
        helper.make_node("FusedMatMul", ["r", "sum"], ["y"], "again", domain=MICROSOFT, transA=1),
    ]
    model = model_of(nodes[0], X, 17, g=normal(5))
    model.graph.node.extend(nodes[1:])
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None))
    check(imported(model))


def test_a_form_that_is_not_known_is_refused(imported: Import) -> None:
    node = helper.make_node("FusedMatMul", ["x", "x"], ["y"], "layer", domain=MICROSOFT, transBatchA=1, transB=1)
    with pytest.raises(UnsupportedModelError, match=r"FusedMatMul of domain 'com\.microsoft' \(1x, first at 'layer'\)"):
        imported(model_of(node, {"x": ("float32", (3, 3, 3))}, 17))


@pytest.mark.parametrize(("shape", "groups"), [((2, 6, 5, 3), 3), ((1, 7, 9), 1), ((3, 4, 2), 4)])
@pytest.mark.parametrize("constant", [True, False])
def test_group_normalisation(
    imported: Import, normal: Callable[..., np.ndarray], shape: tuple[int, ...], groups: int, constant: bool
) -> None:
    node = helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], "norm", num_groups=groups, epsilon=0.01)
    vectors = {} if constant else {"s": ("float32", shape[1:2]), "b": ("float32", shape[1:2])}
    stored = {"s": normal(shape[1]), "b": normal(shape[1])} if constant else {}
    check(imported(model_of(node, {"x": ("float32", shape), **vectors}, 21, **stored)))


@pytest.mark.parametrize(
    ("operator", "operands", "inputs", "attributes", "opset"),
    [
        ("MeanVarianceNormalization", "x", {"x": (2, 3, 4, 5)}, {}, 13),
        ("MeanVarianceNormalization", "x", {"x": (2, 3, 4)}, {"axes": [0, 2]}, 13),
        ("RotaryEmbedding", "x cos sin p", {"x": (1, 2, 4, 8)}, {}, 23),
        ("RotaryEmbedding", "x cos sin p", {"x": (1, 2, 4, 12)}, {"rotary_embedding_dim": 8, "interleaved": 1}, 23),
        ("SoftmaxCrossEntropyLoss", "x labels weight", {"x": (4, 5)}, {}, 13),
        ("NegativeLogLikelihoodLoss", "x labels weight", {"x": (4, 5)}, {"reduction": "sum"}, 13),
    ],
)
def test_functions_of_onnx_with_initialisers(
    imported: Import,
    normal: Callable[..., np.ndarray],
    operator: str,
    operands: str,
    inputs: dict[str, tuple[int, ...]],
    attributes: dict[str, Any],
    opset: int,
) -> None:
    stored = {
        "cos": normal(16, 4),
        "sin": normal(16, 4),
        "p": np.array([[0, 3, 15, 2]]),
        "labels": np.array([0, 4, 2, 2]),
        "weight": np.abs(normal(5)) + 1,
    }
    node = helper.make_node(operator, operands.split(), ["y"], "layer", **attributes)
    used = {name: array for name, array in stored.items() if name in operands.split()}
    check(imported(model_of(node, {name: ("float32", shape) for name, shape in inputs.items()}, opset, **used)), 1e-5)


@pytest.mark.parametrize("window", ["HannWindow", "HammingWindow", "BlackmanWindow"])
def test_windows_keep_the_defaults_of_their_attributes(imported: Import, window: str) -> None:
    model = model_of(helper.make_node(window, ["n"], ["w"], "window"), {"x": ("float32", (3, 10))}, 17, n=np.array(10))
    model.graph.node.append(helper.make_node("Mul", ["x", "w"], ["y"], "windowed"))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None))
    check(imported(model))
