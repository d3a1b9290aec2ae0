"""The costs of whole models: layers, parameters, published numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests import tiny
from tests.quantised import Network
from tvmopt.pipeline.importers import survey_model
from tvmopt.pipeline.inspection.costs import LayerCost, layer_costs, model_costs
from tvmopt.pipeline.types import ImportedModel

Imported = Callable[[onnx.ModelProto], ImportedModel]


def test_two_convolutions() -> None:
    wide, relu, narrow = layer_costs(tiny.load())
    pixels = 14 * 14
    assert (wide.operator, wide.flops, wide.parameters) == ("Conv", 2 * 16 * pixels * 72, 1152)
    assert (wide.read_bytes, wide.written_bytes) == (4 * (8 * pixels + 1152), 4 * 16 * pixels)
    assert [spec.shape for spec in wide.inputs] == [(1, 8, 14, 14), (16, 8, 3, 3)]
    assert (relu.operator, relu.flops, relu.intensity) == ("Relu", 16 * pixels, 0.125)
    assert (narrow.operator, narrow.flops) == ("Conv", 2 * 16 * pixels * 16)
    assert narrow.layer == "Conv_y"


def test_json() -> None:
    for layer in layer_costs(tiny.load()):
        assert LayerCost.from_json(json.loads(json.dumps(layer.to_json()))) == layer


def test_constants_belong_to_the_layers_that_use_them(onnx_model: Callable[..., onnx.ModelProto]) -> None:
    model = onnx_model(
        ("DequantizeLinear", "w s z", "d"),
        ("Shape", "x", "n"),
        ("Gather", "n first", "rows"),
        ("Concat", "rows rest", "shape", {"axis": 0}),
        ("Gemm", "x d b", "g"),
        ("Gemm", "g d", "h"),
        ("Reshape", "h shape", "y"),
        inputs={"x": (2, 4)},
        outputs="y",
        w=np.ones((4, 4), np.int8),
        s=np.float32(0.1),
        z=np.int8(0),
        b=np.ones(4, np.float32),
        first=np.array([0]),
        rest=np.array([-1]),
    )
    costs = model_costs(model, None)
    assert [layer.operator for layer in costs.layers] == ["Gemm", "Gemm", "Reshape"]
    assert [layer.parameters for layer in costs.layers] == [20, 16, 0]
    assert costs.parameters == 20  # both share the weights
    assert costs.parameter_bytes == 16 + 4 * 4
    assert costs.layers[2].nbytes == 0  # a view
    assert costs.total.flops == 2 * 2 * (2 * 4 * 4)


def test_statistics_scalars_and_sizes_are_no_parameters(onnx_model: Callable[..., onnx.ModelProto]) -> None:
    model = onnx_model(
        ("BatchNormalization", "x s b m v", "n"),
        ("Mul", "n two", "t"),
        ("Resize", "t . scales", "y", {"mode": "nearest"}),
        inputs={"x": (1, 3, 4, 4)},
        outputs="y",
        two=np.float32(2),
        scales=np.float32([1, 1, 2, 2]),
        **{name: np.ones(3, np.float32) for name in "sbmv"},
    )
    costs = model_costs(model, None)
    assert [layer.parameters for layer in costs.layers] == [6, 0, 0]
    assert costs.parameters == 6


def test_gather_reads_as_much_as_it_outputs(onnx_model: Callable[..., onnx.ModelProto]) -> None:
    model = onnx_model(
        ("Gather", "table x", "y"), inputs={"x": ("int64", 3)}, outputs="y", table=np.ones((1000, 8), np.float32)
    )
    (layer,) = model_costs(model, None).layers
    assert layer.read_bytes == 3 * 8 * 4 + 3 * 8
    assert layer.parameters == 8000


def test_shapes_computed_by_arithmetic(imported: Imported, onnx_model: Callable[..., onnx.ModelProto]) -> None:
    model = onnx_model(
        ("Shape", "x", "n"),
        ("ReduceProd", "n", "count", {"keepdims": 1}),
        ("Reshape", "x count", "flat"),
        ("Relu", "flat", "y"),
        inputs={"x": (3, 5)},
        outputs="y",
    )
    del model.graph.value_info[:]
    assert [layer.flops for layer in layer_costs(imported(model))] == [0, 15]


def test_functions_cost_the_sum_of_their_operators(imported: Imported) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18, "own" : 1]>'
        "g (float[2,4] x) => (float[2,4] y) { y = own.Twice (x) }"
        '<domain: "own", opset_import: ["" : 18]> Twice (a) => (c) { b = Mul (a, a) c = Add (a, b) }'
    )
    (layer,) = layer_costs(imported(model))
    assert (layer.operator, layer.flops) == ("Twice", 16)


def test_uncounted_operators_are_named(tmp_path: Path) -> None:
    path = tiny.save_onnx(
        tmp_path / "strange.onnx", "g (float[1,4,4] x) => (float[1] y) { a = Det (x) b = Strange (a) y = Relu (b) }"
    )
    _, found = survey_model(str(path))
    costs = model_costs(found.original, found.simplified)
    assert [layer.operator for layer in costs.layers] == ["Det", "Strange", "Relu"]
    assert costs.total.operations == 0
    assert "operations of Det" in costs.uncounted["Det_a"]
    assert "operations of Strange" in costs.uncounted["Strange_b"]
    assert "size of an operand or result is not known" in costs.uncounted["Relu_y"]


# From torchvision's documentation of each network's weights: GMACs, parameters. The exporter folds batch
# normalisation, which leaves one parameter per channel instead of two, and none if the bias is zero: in MobileNetV2,
# 8384 channels after linear layers.
PUBLISHED = {"resnet50": (4.089, 25_557_032), "mobilenet_v2": (0.301, 3_504_872), "squeezenet1_1": (0.349, 1_235_496)}
FOLDED = {"resnet50": 26_560, "mobilenet_v2": 17_056 + 8_384, "squeezenet1_1": 0}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers(name: str, repository: Path) -> None:
    pytest.importorskip("torch")
    _, found = survey_model(f"{repository / 'models' / name}.py:build")
    costs = model_costs(found.original, found.simplified)
    gmacs, parameters = PUBLISHED[name]
    products = sum(layer.flops for layer in costs.layers if layer.operator in ("Conv", "Gemm"))
    assert round(products / 2e9, 3) == gmacs
    assert costs.total.flops / 2e9 == pytest.approx(gmacs, rel=0.03)  # including activations, pooling, additions
    assert costs.parameters == parameters - FOLDED[name]
    assert costs.parameters == pytest.approx(parameters, rel=0.01)
    assert not costs.uncounted


def test_products_of_dequantised_bytes_are_of_integers() -> None:
    net = Network()
    first = net.convolution(net.quantised("x", 0.1, 0), (3, 4), "a")
    net.convolution(net.quantised(net.add("Relu", first, "r"), 0.1, 0), (4, 5), "b", kernel=1)
    costs = model_costs(net.model((1, 3, 8, 8), "b"), None)
    quantize, dequantize, convolution, relu = costs.layers[:4]
    assert [layer.operator for layer in (quantize, dequantize, convolution)] == [
        "QuantizeLinear",
        "DequantizeLinear",
        "Conv",
    ]
    assert (dequantize.operations, dequantize.nbytes) == (0, 0)
    assert (convolution.flops, convolution.integer_ops) == (0, 2 * 4 * 64 * 27)
    assert (convolution.read_bytes, convolution.written_bytes) == (3 * 64 + 108 + 4 * 4, 4 * 4 * 64)
    assert convolution.parameters == 108 + 4
    assert [layer.precision for layer in (quantize, convolution, relu)] == ["FP32", "INT8", "FP32"]
    assert costs.total.integer_ops == 2 * 4 * 64 * 27 + 2 * 5 * 64 * 4


def test_a_dequantised_value_that_others_read_is_computed() -> None:
    net = Network()
    data = net.quantised("x", 0.1, 0)
    net.convolution(data, (3, 4), "a")
    net.add("Relu", data, "r")
    dequantize = model_costs(net.model((1, 3, 8, 8), "a r"), None).layers[1]
    assert (dequantize.flops, dequantize.nbytes) == (2 * 192, 192 + 4 + 1 + 4 * 192)


def test_weights_in_floats_make_a_product_of_floats() -> None:
    net = Network()
    net.constants["w"] = np.ones((4, 3, 1, 1), np.float32)
    net.add("Conv", f"{net.quantised('x', 0.1, 0)} w", "y")
    convolution = model_costs(net.model((1, 3, 8, 8), "y"), None).layers[2]
    assert (convolution.flops, convolution.integer_ops, convolution.precision) == (2 * 4 * 64 * 3, 0, "FP32")
