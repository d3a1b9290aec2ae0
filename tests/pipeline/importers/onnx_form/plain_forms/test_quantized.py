"""Operators of quantised values in QDQ form: at most a step from onnxruntime, in few elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers import example_inputs
from tvmopt.pipeline.importers.onnx_form.operators import MICROSOFT, standard_operators, supported_operators
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.types import ImportedModel

Import = Callable[[onnx.ModelProto], ImportedModel]


def model_of(nodes: list[onnx.NodeProto], shape: tuple[int, ...], opset: int, **constants: Any) -> onnx.ModelProto:
    """A model of `nodes` whose input ``x`` becomes the bytes ``q`` first; its output is ``y``."""
    first = helper.make_node("QuantizeLinear", ["x", "qs", "qz"], ["q"], "first")
    constants = {"qs": np.float32(0.02), "qz": np.uint8(120), **constants}
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    output = onnx.ValueInfoProto(name="y")
    given = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
    graph = helper.make_graph([first, *nodes], "g", [given], [output], stored)
    domains = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=8)


def node_of(operator: str, operands: str, made: str = "y", domain: str = MICROSOFT, **attributes: Any) -> Any:
    names = ["" if name == "." else name for name in operands.split()]
    return helper.make_node(operator, names, [made], f"the {operator}", domain=domain, **attributes)


def check(model: ImportedModel) -> list[str]:
    """Compares the normal form with the original, and returns its operators."""
    inputs = example_inputs(model, seed=3)
    (expected,), (made,) = (run_model(form, inputs).values() for form in (model.original, model.normalized))
    assert (expected.dtype, expected.shape) == (made.dtype, made.shape)
    off = np.abs(expected.astype(np.float64) - made.astype(np.float64))
    if expected.dtype.kind == "f":
        assert off.max() <= 1e-5 * np.abs(expected).max()
    else:
        assert off.max() <= 1
        assert (off > 0).sum() <= 2 + 0.01 * off.size
        assert expected.std() > 5, "nearly all elements are the same"
    kinds = [node.op_type for node in model.normalized.graph.node]
    assert set(kinds) <= supported_operators() & standard_operators()
    return kinds


def scales(*names: str) -> dict[str, Any]:
    """A scale ``…s`` and a zero point ``…z``, uint8, for each name."""
    return {
        key: value
        for place, name in enumerate(names)
        for key, value in ((f"{name}s", np.float32(0.01 + 0.0073 * place)), (f"{name}z", np.uint8(100 + 7 * place)))
    }


def whole(dtype: Any, *shape: int) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.random.default_rng(1).integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)


@pytest.mark.parametrize(
    ("node", "shape"),
    [
        (node_of("QLinearAdd", "q qs qz b bs bz ys yz"), (2, 3, 5)),
        (node_of("QLinearMul", "q qs qz b bs bz ys yz"), (2, 3, 5)),
        (node_of("QLinearSigmoid", "q qs qz ss yz"), (2, 3, 5)),
        (node_of("QLinearLeakyRelu", "q qs qz ys yz", alpha=0.3), (2, 3, 5)),
        (node_of("QLinearSoftmax", "q qs qz ss nz", axis=-1, opset=13), (2, 3, 5)),
        (node_of("QLinearAveragePool", "q qs qz ss yz", kernel_shape=[3, 2], pads=[1, 0, 1, 1]), (2, 3, 5, 6)),
        (node_of("QLinearGlobalAveragePool", "q qs qz ss yz", channels_last=0), (2, 9, 5, 6)),
        (node_of("QLinearConcat", "ys yz q qs qz b bs bz", axis=1), (2, 3, 5)),
        (node_of("QLinearWhere", "c q qs qz b bs bz ys yz"), (2, 3, 5)),
    ],
    ids=lambda value: value.op_type if isinstance(value, onnx.NodeProto) else "",
)
@pytest.mark.parametrize("opset", [13, 19])
def test_operators_of_onnxruntime(imported: Import, node: Any, shape: tuple[int, ...], opset: int) -> None:
    stored = {**scales("b", "y"), "b": whole("uint8", 2, 3, 5), "c": np.arange(30).reshape(2, 3, 5) % 2 > 0}
    stored |= {"ss": np.float32(1 / 256), "nz": np.uint8(0)}
    if node.op_type == "QLinearSoftmax":
        stored["qs"] = np.float32(0.05)
    used = {name: array for name, array in stored.items() if name in node.input or name == "qs"}
    kinds = check(imported(model_of([node], shape, opset, **used)))
    assert kinds.count("QuantizeLinear") == 2


@pytest.mark.parametrize("data", ["uint8", "int8"])
@pytest.mark.parametrize("weights", ["uint8", "int8"])
@pytest.mark.parametrize("each", [False, True])
def test_convolutions(imported: Import, data: str, weights: str, each: bool) -> None:
    """Of signed and unsigned data and weights, with zero points, a scale for each channel, a bias of integers."""
    several = np.linspace(0.001, 0.003, 6, dtype=np.float32)
    stored = {
        "qz": np.array(-5, data) if data == "int8" else np.uint8(131),
        "w": whole(weights, 6, 2, 3, 2),
        "ws": several if each else several[0],
        "wz": np.zeros(6, weights) if each else np.array(17, weights),
        "b": whole("int16", 6).astype(np.int32) // 8,
        "ys": np.float32(0.01),
        "yz": np.array(3, data),
    }
    if data == "uint8" and weights == "uint8" and each:
        stored["wz"] = np.full(6, 99, np.uint8)
    if data == "uint8" or weights == "int8":  # others onnxruntime does not compute
        node = node_of("QLinearConv", "q qs qz w ws wz ys yz b", domain="", pads=[1, 0, 1, 1], group=2)
        check(imported(model_of([node], (1, 4, 7, 6), 13, **stored)))


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("each", [False, True])
def test_products(imported: Import, opset: int, each: bool) -> None:
    several = np.linspace(0.001, 0.003, 9, dtype=np.float32)
    stored = {"w": whole("int8", 20, 9), "ws": several if each else several[:1], **scales("y")}
    stored["wz"] = np.zeros(9, np.int8) if each else np.zeros(1, np.int8)
    node = node_of("QLinearMatMul", "q qs qz w ws wz ys yz", domain="")
    check(imported(model_of([node], (3, 7, 20), opset, **stored)))


@pytest.mark.parametrize("end", ["ys yz", ""])
@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_dense_layers(imported: Import, end: str, turned: int, alpha: float) -> None:
    several = np.linspace(0.001, 0.003, 9, dtype=np.float32)
    stored = {"w": whole("int8", *((9, 20) if turned else (20, 9))), "ws": several, "wz": np.zeros(9, np.int8)}
    stored |= {"b": whole("int16", 9).astype(np.int32) // 8, **(scales("y") if end else {})}
    node = node_of("QGemm", f"q qs qz w ws wz b {end}", transB=turned, alpha=alpha)
    kinds = check(imported(model_of([node], (7, 20), 13, **stored)))
    assert "Gemm" in kinds


@pytest.mark.parametrize("zero", [None, 0, 90])
def test_products_of_dynamic_operands(imported: Import, zero: int | None) -> None:
    stored = {"w": whole("uint8", 20, 9), "ws": np.float32(0.002), "b": np.linspace(-1, 1, 9, dtype=np.float32)}
    if zero is not None:
        stored["wz"] = np.uint8(zero)
    node = node_of("DynamicQuantizeMatMul", f"x w ws {'.' if zero is None else 'wz'} b")
    model = model_of([node], (7, 20), 13, **stored)
    del model.graph.node[0]
    kinds = check(imported(model))
    assert "MatMul" in kinds
    assert "MatMulInteger" not in kinds


def test_what_moves_bytes_moves_floats(imported: Import) -> None:
    """Between layers, so that these see quantised values."""
    nodes = [
        node_of("MaxPool", "q", "m", "", kernel_shape=[2, 2]),
        node_of("Transpose", "m", "t", "", perm=[0, 2, 3, 1]),
        node_of("Reshape", "t shape", "y", ""),
    ]
    model = model_of([node_of("QLinearAdd", "q qs qz q qs qz qs qz", "s"), *nodes], (1, 3, 5, 6), 13)
    model.graph.node[2].input[0] = "s"
    model.graph.initializer.append(numpy_helper.from_array(np.array([4, -1]), "shape"))
    normal = imported(model)
    check(normal)
    made = {node.output[0]: node.op_type for node in normal.normalized.graph.node}
    for node in normal.normalized.graph.node:
        if node.op_type in ("MaxPool", "Transpose"):
            assert made[node.input[0]] == "DequantizeLinear"


def test_bytes_that_are_moved_keep_their_type(imported: Import) -> None:
    """It is given without a zero point; the results of a Reshape and of a maximum without indices have it, too."""
    first = helper.make_node("QuantizeLinear", ["x", "qs"], ["q"], "first", output_dtype=onnx.TensorProto.INT8)
    pool = helper.make_node("MaxPool", ["q"], ["m", ""], "pool", kernel_shape=[2, 2])
    nodes = [first, pool, node_of("Flatten", "m", "f", ""), node_of("DequantizeLinear", "f qs", "y", "")]
    model = model_of(nodes, (1, 3, 5, 6), 21, qs=np.float32(0.02))
    del model.graph.node[0]
    del model.graph.initializer[1]
    model.ir_version = 10
    normal = imported(model)
    check(normal)
    kinds = [node.op_type for node in normal.normalized.graph.node]
    assert kinds.count("DequantizeLinear") > 1, "nothing was moved"


@pytest.mark.parametrize("scale", [0.0, -0.5, np.nan, np.inf])
@pytest.mark.parametrize("operator", ["QuantizeLinear", "QLinearAdd", "QLinearConcat"])
def test_scales_that_quantise_nothing(imported: Import, operator: str, scale: float) -> None:
    operands = {
        "QuantizeLinear": "r bad yz",
        "QLinearAdd": "q qs qz q qs qz bad yz",
        "QLinearConcat": "qs qz q bad qz q qs qz",
    }
    nodes = [node_of("DequantizeLinear", "q qs qz", "r", ""), node_of(operator, operands[operator], domain=MICROSOFT)]
    if operator == "QuantizeLinear":
        nodes[1].domain = ""
    stored = {**scales("y"), "bad": np.float32(scale)}
    with pytest.raises(UnsupportedModelError, match=rf"'the {operator}' .*: a scale is \S+; a scale is a positive"):
        imported(model_of(nodes, (2, 3), 13, **stored))


def test_scales_of_another_axis(imported: Import) -> None:
    stored = {"w": whole("int8", 6, 4, 1, 1), "ws": np.full(4, 0.01, np.float32), **scales("y")}
    node = node_of("DequantizeLinear", "w ws", "r", "", axis=0)
    back = [node_of("DequantizeLinear", "q qs qz", "d", ""), node_of("Conv", "d r", "y", "")]
    with pytest.raises(UnsupportedModelError, match="there are 4 scales for the 6 slices along axis 0"):
        imported(model_of([node, *back], (1, 4, 5, 5), 13, **stored))
    node.attribute[0].i = 7
    with pytest.raises(UnsupportedModelError, match="its scales are those of axis 7, but the data has 4 axes"):
        imported(model_of([node, *back], (1, 4, 5, 5), 13, **stored))


def test_a_bias_with_a_zero_point(imported: Import) -> None:
    stored = {"b": whole("int32", 4), "bs": np.float32(0.01), "bz": np.int32(3)}
    nodes = [node_of("DequantizeLinear", "q qs qz", "d", ""), node_of("DequantizeLinear", "b bs bz", "r", "")]
    with pytest.raises(UnsupportedModelError, match="the zero point of int32 is 3; only 0 is possible"):
        imported(model_of([*nodes, node_of("Add", "d r", "y", "")], (1, 4), 13, **stored))
