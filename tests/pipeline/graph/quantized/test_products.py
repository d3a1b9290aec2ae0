"""Matrix products, and layers of bytes with zero points of any kind, as integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.onnx_models import make_model
from tests.pipeline.graph.quantized.test_use_integers import BYTES, check
from tests.quantised import Network
from tvmopt.pipeline.graph.ir import Graph
from tvmopt.pipeline.graph.optimize import passes
from tvmopt.pipeline.graph.read_onnx import read_onnx
from tvmopt.pipeline.importers.onnx_form.layer_names import name_nodes
from tvmopt.pipeline.importers.onnx_form.normalize import normalize
from tvmopt.pipeline.support.onnxruntime import run_model

Evaluate = Any

FLOATS, PADS = {"to": onnx.TensorProto.FLOAT}, {"pads": [1, 1, 1, 1]}


def through_all(model: onnx.ModelProto) -> Graph:
    name_nodes(model.graph.node)
    graph = read_onnx(normalize(model))
    for run in passes(BYTES):
        graph = run(graph)
    return graph


def kinds_of(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes if node.op not in ("relayout", "reshape")]


def product(net: Network, x: str, shape: tuple[int, int], dtype: Any = np.int8, zero: int | None = None) -> str:
    """A product with weights of the whole range, with a scale for each column."""
    random, limits = np.random.default_rng(5), np.iinfo(dtype)
    net.constants |= {
        "w": random.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype),
        "s": random.uniform(0.5, 1, shape[1]).astype(np.float32) * np.float32(0.001),
        "z": np.full(shape[1], 0 if zero is None else zero, dtype),
    }
    net.add("DequantizeLinear", "w s z", "wd", axis=1)
    return net.add("MatMul", f"{x} wd", "p")


@pytest.mark.parametrize("behind", ["nothing", "bias and Gelu", "QuantizeLinear", "residual"])
@pytest.mark.parametrize(("shape", "zero"), [((9, 24), 100), ((2, 7, 33), 0), ((1, 3, 4, 20), 255)])
def test_products_of_many_rows(behind: str, shape: tuple[int, ...], zero: int, evaluated: Evaluate) -> None:
    net = Network()
    net.constants["b"] = np.linspace(-1, 1, 20, dtype=np.float32)
    y = product(net, net.quantised("x", 0.03, zero), (shape[-1], 20))
    if behind == "bias and Gelu":
        y = net.add("Gelu", net.add("Add", f"{y} b", "a"), "g")
    if behind == "QuantizeLinear":
        y = net.quantised(net.add("Add", f"{y} b", "a"), 0.02, 77)
    if behind == "residual":
        net.constants["t"] = np.random.default_rng(0).standard_normal((shape[-1], 20)).astype(np.float32)
        y = net.add("Add", f"{y} {net.quantised(net.add('MatMul', 'x t', 'r'), 0.02, 9, np.uint8)}", "a")
    model = make_model(*net.nodes, inputs={"x": shape}, outputs=y, opset=20, **net.constants)
    graph = through_all(model)
    assert kinds_of(graph).count("integer_dense") == 1
    check(graph, model, evaluated, 0.02)


@pytest.mark.parametrize("rows", [2, 30])
@pytest.mark.parametrize(("dtype", "zero"), [(np.uint8, 0), (np.uint8, 99), (np.uint8, 255), (np.int8, -128)])
def test_products_with_zero_points_of_weights(rows: int, dtype: Any, zero: int, evaluated: Evaluate) -> None:
    net = Network()
    y = product(net, net.quantised("x", 0.03, 100), (24, 20), dtype, zero)
    model = make_model(*net.nodes, inputs={"x": (rows, 24)}, outputs=y, opset=20, **net.constants)
    graph = through_all(model)
    kind = "integer_conv2d" if rows < 5 else "integer_dense"
    assert kinds_of(graph).count(kind) == 2, "one for the product, one for the sums of the rows"
    check(graph, model, evaluated, 1e-4)


@pytest.mark.parametrize(("groups", "kind"), [(1, "integer_conv2d"), (16, "integer_depthwise_conv2d")])
def test_convolutions_with_zero_points_of_weights(groups: int, kind: str, evaluated: Evaluate) -> None:
    net = Network()
    y = net.convolution(net.quantised("x", 0.03, 128), (16, 16), "y", strides=[2, 1], groups=groups)
    net.constants["y_w"] = (net.constants["y_w"].astype(np.int16) + 128).astype(np.uint8)
    net.constants["y_z"] = np.linspace(0, 255, 16).astype(np.uint8)
    model = net.model((2, 16, 6, 7), y)
    graph = through_all(model)
    assert kinds_of(graph).count(kind) == 2
    check(graph, model, evaluated, 1e-4)


def dynamic(layer: str, zero: int | None, attributes: dict[str, Any]) -> list[Any]:
    """A layer as onnxruntime's dynamic quantiser writes it."""
    taken = "q w qz" if zero is None else "q w qz wz"
    return [
        ("DynamicQuantizeLinear", "x", "q qs qz"),
        (layer, taken, "i", attributes),
        ("Cast", "i", "f", {"to": onnx.TensorProto.FLOAT}),
        ("Mul", "qs ws", "s"),
        ("Mul", "f s", "m"),
        ("Add", "m b", "y"),
    ]


@pytest.mark.parametrize(("dtype", "zero"), [("int8", None), ("int8", 3), ("uint8", 128), ("uint8", 50)])
@pytest.mark.parametrize("shape", [(30, 24), (2, 24), (2, 9, 33)])
def test_dynamic_products(dtype: str, zero: int | None, shape: tuple[int, ...], evaluated: Evaluate) -> None:
    random, limits = np.random.default_rng(0), np.iinfo(dtype)
    weights = random.integers(limits.min, limits.max, (shape[-1], 20), endpoint=True).astype(dtype)
    constants = {"w": weights, "ws": np.float32(0.001), "b": np.linspace(-1, 1, 20, dtype=np.float32)}
    if zero is not None:
        constants["wz"] = np.array(zero, dtype)
    model = make_model(*dynamic("MatMulInteger", zero, {}), inputs={"x": shape}, outputs="y", **constants)
    graph = through_all(model)
    kinds = kinds_of(graph)
    assert ("integer_conv2d" if shape == (2, 24) else "integer_dense") in kinds
    assert "onnx" not in kinds
    check(graph, model, evaluated, 0.01)


@pytest.mark.parametrize("zero", [128, 60])
@pytest.mark.parametrize(
    "attributes",
    [{"pads": [1, 0, 2, 1], "strides": [2, 1]}, {"pads": [0, 2, 0, 2], "dilations": [2, 2]}, {}],
    ids=str,
)
def test_dynamic_convolutions(zero: int, attributes: dict[str, Any], evaluated: Evaluate) -> None:
    """The zero point of what surrounds the data is known only when it runs."""
    weights = np.random.default_rng(0).integers(0, 256, (20, 16, 3, 3)).astype(np.uint8)
    bias = np.linspace(-1, 1, 20, dtype=np.float32).reshape(1, 20, 1, 1)
    constants = {"w": weights, "ws": np.float32(0.001), "b": bias, "wz": np.uint8(zero)}
    nodes = dynamic("ConvInteger", zero, attributes)
    model = make_model(*nodes, inputs={"x": (2, 16, 9, 8)}, outputs="y", **constants)
    graph = through_all(model)
    assert kinds_of(graph).count("integer_conv2d") == (1 if zero == 128 else 2)
    check(graph, model, evaluated, 0.01)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_bytes_that_are_given(dtype: str, evaluated: Evaluate) -> None:
    """As models of TFLite take them; what is given has no halo, and that around it is the zero point."""
    net = Network()
    net.constants |= {"xs": np.float32(0.03), "xz": np.array(-7 if dtype == "int8" else 99, dtype)}
    net.add("DequantizeLinear", "x xs xz", "d")
    y = net.convolution("d", (3, 16), "y")
    model = make_model(*net.nodes, inputs={"x": (dtype, 1, 3, 7, 8)}, outputs=y, opset=19, **net.constants)
    graph = through_all(model)
    assert "integer_conv2d" in kinds_of(graph)
    assert "onnx" not in kinds_of(graph)
    inputs = {"x": np.random.default_rng(1).integers(*((-128, 128) if dtype == "int8" else (0, 256)), (1, 3, 7, 8))}
    inputs = {name: array.astype(dtype) for name, array in inputs.items()}

    (wanted,), (got,) = run_model(model, inputs).values(), evaluated(graph, inputs)
    np.testing.assert_allclose(got, wanted, atol=1e-4)


SURROUNDED: dict[str, tuple[list[Any], str, dict[str, Any]]] = {
    "a convolution pads": ([("Cast", "x", "c", FLOATS), ("Sub", "c h", "d"), ("Conv", "d w", "y", PADS)], "y", {}),
    "ConvInteger": ([("ConvInteger", "x v hb", "i", PADS), ("Cast", "i", "y", FLOATS)], "y", {}),
    "a Pad": (
        [("Pad", "x p hb", "k"), ("Cast", "k", "c", FLOATS), ("Sub", "c h", "d"), ("Conv", "d w", "y")],
        "y",
        {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
    ),
    "with and without a zero point": (
        [
            *[("Cast", "x", "c", FLOATS), ("Sub", "c h", "d")],
            *[("Conv", "c w", "y", PADS), ("Conv", "d w", "z", PADS)],
        ],
        "y z",
        {},
    ),
    "two scales": (
        [
            *[("DequantizeLinear", "x s", "c"), ("DequantizeLinear", "x t hb", "d")],
            *[("Conv", "c w", "y", PADS), ("Conv", "d w", "z", PADS)],
        ],
        "y z",
        {"s": np.float32(0.5), "t": np.float32(0.25)},
    ),
    "two scales are made one": (
        [
            *[("DequantizeLinear", "x s", "c"), ("DequantizeLinear", "x t", "d"), ("Concat", "c d", "k", {"axis": 1})],
            *[("QuantizeLinear", "k r", "q"), ("DequantizeLinear", "q r", "y")],
        ],
        "y",
        {"s": np.float32(0.5), "t": np.float32(0.25), "r": np.float32(0.4)},
    ),
}
"""Bytes of several readers, and whose zero point is not what memory is filled with by default."""


@pytest.mark.parametrize("case", SURROUNDED)
def test_bytes_that_are_read_in_several_ways(case: str, evaluated: Evaluate) -> None:
    nodes, outputs, constants = SURROUNDED[case]
    random = np.random.default_rng(1)
    weights = random.integers(-100, 100, (16, 3, 3, 3))
    constants = constants | {"w": weights.astype(np.float32), "v": weights.astype(np.int8)}
    constants = constants | {"h": np.float32(128), "hb": np.uint8(128)}
    read = {name for _, taken, *_ in nodes for name in taken.split()}
    used = {name: array for name, array in constants.items() if name in read}
    model = make_model(*nodes, inputs={"x": ("uint8", 1, 3, 5, 6)}, outputs=outputs, opset=19, **used)
    inputs = {"x": random.integers(0, 256, (1, 3, 5, 6)).astype(np.uint8)}
    graph = through_all(model)
    for node in graph.nodes:
        if any(node.attrs.get("pads", ())) and node.op == "integer_conv2d":
            assert graph.tensor(node.inputs[0]).fill == node.attrs["zero"]
    for wanted, got in zip(run_model(model, inputs).values(), evaluated(graph, inputs), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("layer", ["MatMul", "Conv", "of two", "of unsigned weights"])
@pytest.mark.parametrize("fits", [True, False])
def test_sums_beyond_int32_are_floats(layer: str, fits: bool, evaluated: Evaluate) -> None:
    """Unless they cannot become so large; the largest products are added, and these are all alike."""
    limit = 2**31 // (255 * (127 if layer in ("MatMul", "Conv") else 255))
    depth, unsigned = limit - limit % 8 + 8 * (not fits), layer == "of unsigned weights"
    net = Network()
    x = net.quantised("x", 1, 0)
    net.constants |= {"w": np.full((depth, 8), 255 if unsigned else 127, np.uint8 if unsigned else np.int8)}
    net.constants |= {"s": np.float32(1)}
    if layer == "of two":
        net.add("Transpose", x, "t", perm=[1, 0])
        y = net.add("MatMul", f"{x} t", "y")
    else:
        net.add("DequantizeLinear", "w s", "wd")
    if layer == "Conv":
        net.constants["w"] = net.constants["w"].T.copy()[:, :, None, None]
        y = net.add("Conv", f"{x} wd", "y")
    elif layer != "of two":
        y = net.add("MatMul", f"{x} wd", "y")
    shape = (1, depth, 1, 1) if layer == "Conv" else (8, depth)
    model = net.model(shape, y)
    graph = through_all(model)
    assert any(kind.startswith("integer") for kind in kinds_of(graph)) == fits
    inputs = {"x": np.full(shape, 255, np.float32)}
    (wanted,), (got,) = run_model(model, inputs).values(), evaluated(graph, inputs)
    np.testing.assert_allclose(got, wanted, rtol=1e-4)


def test_a_product_of_rows_and_a_vector_that_are_both_computed(evaluated: Evaluate) -> None:
    net = Network()
    net.add("ReduceMax", net.quantised("x", 0.03, 100), "m", axes=[0], keepdims=0)
    y = net.add("MatMul", f"x_dq {net.quantised('m', 0.02, 10)}", "y")
    model = make_model(*net.nodes, inputs={"x": (9, 20)}, outputs=y, opset=13, **net.constants)
    check(through_all(model), model, evaluated, 0.02)


@pytest.mark.parametrize("layer", ["MatMulInteger", "ConvInteger"])
def test_a_zero_point_that_is_given(layer: str, evaluated: Evaluate) -> None:
    shape, weights = {"MatMulInteger": ((9, 20), (20, 8)), "ConvInteger": ((1, 4, 5, 6), (8, 4, 3, 3))}[layer]
    random = np.random.default_rng(1)
    nodes: list[Any] = [(layer, "x w z", "i"), ("Cast", "i", "y", FLOATS)]
    constants = {"w": random.integers(-128, 128, weights).astype(np.int8)}
    given = {"x": ("uint8", *shape), "z": ("uint8",)}
    model = make_model(*nodes, inputs=given, outputs="y", opset=19, **constants)
    graph = through_all(model)
    assert any(kind.startswith("integer") for kind in kinds_of(graph))
    inputs = {"x": random.integers(0, 256, shape).astype(np.uint8), "z": np.array(77, np.uint8)}
    (wanted,), (got,) = run_model(model, inputs).values(), evaluated(graph, inputs)
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("weights", ["QInt8", "QUInt8"])
def test_a_network_in_onnxruntimes_operator_format(weights: str, tmp_path: Path, evaluated: Evaluate) -> None:
    """From its own quantiser: a residual, pooling, a concatenation, reshaped bytes and a dense layer."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    random = np.random.default_rng(0)
    nodes = [
        ("Conv", "x a ab", "c", {"pads": [1, 1, 1, 1]}),
        ("Relu", "c", "r"),
        ("Conv", "r b", "d", {"pads": [1, 1, 1, 1], "group": 16}),
        ("Add", "d r", "s"),
        ("MaxPool", "s", "m", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Concat", "m m", "k", {"axis": 1}),
        ("Reshape", "k shape", "f"),
        ("Gemm", "f w wb", "y"),
    ]
    shapes = {"a": (16, 3, 3, 3), "ab": (16,), "b": (16, 1, 3, 3), "w": (16, 10), "wb": (10,)}
    constants = {name: 0.3 * random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    shape = np.array([-1, 16])
    model = make_model(*nodes, inputs={"x": (1, 3, 8, 8)}, outputs="y", opset=13, shape=shape, **constants)
    onnx.save(model, tmp_path / "float.onnx")

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime comes without types
        def __init__(self) -> None:
            self.left = [{"x": random.standard_normal((1, 3, 8, 8)).astype(np.float32)} for _ in range(3)]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    paths = [str(tmp_path / name) for name in ("float.onnx", "quantised.onnx")]
    options = {"quant_format": QuantFormat.QOperator, "weight_type": getattr(QuantType, weights)}
    quantize_static(*paths, Reader(), activation_type=QuantType.QUInt8, **options)
    quantised = onnx.load(paths[1])
    assert {"QLinearConv", "QLinearAdd", "QGemm"} <= {node.op_type for node in quantised.graph.node}
    graph = through_all(quantised)
    kinds = kinds_of(graph)
    assert not {"conv2d", "depthwise_conv2d", "dense"} & set(kinds)
    assert {"integer_conv2d", "integer_depthwise_conv2d", "integer_dense"} <= set(kinds)
    inputs = {"x": random.standard_normal((1, 3, 8, 8)).astype(np.float32)}
    (wanted,), (got,) = run_model(quantised, inputs).values(), evaluated(graph, inputs)
    assert np.abs(wanted - got).max() <= 0.02 * np.abs(wanted).max()
