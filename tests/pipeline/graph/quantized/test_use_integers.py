"""What is computed with integers, and that it is what the model says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest

from tests.pipeline.graph.quantized.passing import Evaluate, check
from tests.quantised import Network, residual
from tvmopt.pipeline.graph.ir import Graph
from tvmopt.pipeline.graph.passes.delay_views import delay_views
from tvmopt.pipeline.graph.passes.fuse_epilogue import fuse_epilogue
from tvmopt.pipeline.graph.passes.plan_layout import plan_layout
from tvmopt.pipeline.graph.quantized.fold_scales import fold_scales
from tvmopt.pipeline.graph.quantized.use_integers import use_integers
from tvmopt.pipeline.graph.read_onnx import read_onnx
from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.pipeline.tasks.workloads import workload_of
from tvmopt.schedules.expression import functions_of
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target, parse_target

BYTES = replace(parse_target("x86-64-v4", 1), features=("avx512_vnni",))
"""A target that multiplies bytes, whatever this machine does."""

AVX2 = parse_target("x86-64-v3", 1)


def passed(model: onnx.ModelProto, target: Any = BYTES) -> Graph:
    graph = fold_scales(fuse_epilogue(recognize(use_integers(read_onnx(model), target))))
    return plan_layout(graph, target)


@pytest.mark.parametrize("target", [BYTES, AVX2], ids=lambda target: target.isa)
def test_a_network_runs_as_integers_from_end_to_end(evaluated: Evaluate, target: Target) -> None:
    model = residual()
    graph = passed(model, target)
    kinds = [node.kind for node in graph.nodes if node.kind not in ("relayout", "reshape")]
    convolutions = ["integer_conv2d", "pool2d", "integer_depthwise_conv2d", "integer_conv2d", "integer_conv2d"]
    assert kinds == ["pointwise", *convolutions, "pool2d"]
    made = [graph.tensor(node.output).dtype for node in graph.nodes if node.kind.startswith("integer")]
    assert made == ["uint8"] * 4
    check(graph, model, evaluated, 0.02)


def test_halos_hold_the_zero_point() -> None:
    graph = passed(residual())
    first = next(node for node in graph.nodes if node.kind == "integer_conv2d")
    data = graph.tensor(first.inputs[0])
    assert (data.fill, data.block) == (125, 4)
    assert any(data.halo)


def test_without_such_a_machine_floats_stand_for_the_integers(evaluated: Evaluate) -> None:
    model = residual()
    graph = passed(model, parse_target("armv7", 1))
    assert not any(node.kind.startswith("integer") for node in graph.nodes)
    assert not any("Linear" in node.kind for node in graph.nodes)
    check(graph, model, evaluated, 0.02)


def test_no_kernel_of_integers_divides_or_repeats_what_saturating_does() -> None:
    for node in passed(residual()).nodes:
        if node.kind.startswith("integer"):
            assert not functions_of(node.epilogue) & {"div", "relu"}


@pytest.mark.parametrize("name", ["another reader", "an output", "no constant scale"])
def test_a_value_that_others_read_too_is_made_for_all(name: str, evaluated: Evaluate) -> None:
    net = Network()
    y = net.convolution(net.quantised("x", 0.03, 128), (16, 16), "y")
    outputs = y
    if name == "another reader":
        net.add("Cast", "x_q", "z", to=onnx.TensorProto.FLOAT)
        outputs += " z"
    if name == "an output":
        outputs += " x_q"
    if name == "no constant scale":
        del net.constants["x_scale"]
        net.add("ReduceMax", "x", "x_scale", keepdims=0)
        net.nodes.insert(0, net.nodes.pop())
    model = net.model((1, 16, 6, 6), outputs)
    graph = use_integers(read_onnx(model), BYTES)
    kinds = [node.kind for node in graph.nodes]
    if name == "no constant scale":
        assert [kind for kind in kinds if "Linear" in kind] == ["DequantizeLinear"]
        assert "Conv" in kinds
    else:
        assert not [kind for kind in kinds if "Linear" in kind]
        assert "integer_conv2d" in kinds


def test_weights_of_groups_with_zero_points_are_floats(evaluated: Evaluate) -> None:
    net = Network()
    net.convolution(net.quantised("x", 0.03, 128), (32, 32), "y", groups=2)
    net.constants["y_z"] = np.arange(32, dtype=np.int8)
    model = net.model((1, 32, 6, 6), "y")
    graph = passed(model)
    assert "conv2d" in [node.kind for node in graph.nodes]
    check(graph, model, evaluated, 1e-4)


def test_unsigned_weights_around_128_are_moved(evaluated: Evaluate) -> None:
    net = Network()
    net.convolution(net.quantised("x", 0.03, 128), (16, 16), "y")
    net.constants["y_w"] = (net.constants["y_w"].astype(np.int16) + 128).astype(np.uint8)
    net.constants["y_z"] = np.full(16, 128, np.uint8)
    model = net.model((1, 16, 6, 6), "y")
    graph = passed(model)
    assert "integer_conv2d" in [node.kind for node in graph.nodes]
    check(graph, model, evaluated, 1e-4)


def test_a_bias_of_int32_is_added(evaluated: Evaluate) -> None:
    net = Network()
    net.convolution(net.quantised("x", 0.03, 128), (16, 16), "y")
    scale = (net.constants["y_s"] * np.float32(0.03)).astype(np.float32)
    net.constants["y_i"] = np.rint(net.constants.pop("y_b") / scale).astype(np.int32)
    net.constants["y_is"] = scale
    net.nodes.insert(0, ("DequantizeLinear", "y_i y_is", "y_b", {"axis": 0}))
    model = net.model((1, 16, 6, 6), "y")
    graph = passed(model)
    assert "integer_conv2d" in [node.kind for node in graph.nodes]
    check(graph, model, evaluated, 1e-4)


@pytest.mark.parametrize("operator", ["Gemm", "Gemm turned", "MatMul"])
@pytest.mark.parametrize("rows", [1, 3, 9])
def test_dense_layers(operator: str, rows: int, evaluated: Evaluate) -> None:
    random = np.random.default_rng(5)
    net = Network()
    kept = operator == "Gemm turned"
    shape = (20, 24) if kept else (24, 20)
    scales = random.uniform(0.5, 1, 20).astype(np.float32) * np.float32(0.01)
    net.constants |= {"w": random.integers(-127, 128, shape).astype(np.int8), "s": scales, "z": np.zeros(20, np.int8)}
    x = net.quantised("x", 0.03, 100)
    net.add("DequantizeLinear", "w s z", "wd", axis=0 if kept else 1)
    if operator == "MatMul":
        net.add("MatMul", f"{x} wd", "y")
    else:
        net.constants["b"] = random.standard_normal(20).astype(np.float32)
        net.add("Gemm", f"{x} wd b", "y", transB=int(kept))
    model = net.model((rows, 24), "y")
    graph = passed(model)
    kinds = [node.kind for node in graph.nodes]
    assert ("integer_conv2d" in kinds) == (rows <= 4)
    assert ("integer_dense" in kinds) == (rows > 4)
    check(graph, model, evaluated, 1e-4)


def test_a_dense_layer_that_scales_its_product_stays_a_float(evaluated: Evaluate) -> None:
    net = Network()
    random = np.random.default_rng(5)
    net.constants |= {"w": random.integers(-127, 128, (24, 20)).astype(np.int8), "s": np.float32(0.01)}
    x = net.quantised("x", 0.03, 100)
    net.add("DequantizeLinear", "w s", "wd")
    net.add("Gemm", f"{x} wd", "y", alpha=0.5)
    model = net.model((1, 24), "y")
    graph = passed(model)
    assert "integer_conv2d" not in [node.kind for node in graph.nodes]
    check(graph, model, evaluated, 1e-4)


def test_scales_by_channel_before_a_depthwise_convolution(evaluated: Evaluate) -> None:
    """As NNCF quantises; a dense convolution cannot read them, as it adds channels of several scales."""
    net = Network()
    scales = np.linspace(0.01, 0.03, 16).astype(np.float32)
    net.constants |= {"x_scale": scales, "x_zero": np.full(16, 128, np.uint8)}
    net.add("QuantizeLinear", "x x_scale x_zero", "x_q", axis=1)
    net.add("DequantizeLinear", "x_q x_scale x_zero", "x_dq", axis=1)
    net.convolution("x_dq", (16, 16), "a", groups=16)
    net.convolution("x_dq", (16, 8), "b")
    model = net.model((1, 16, 7, 7), "a b")
    graph = passed(model)
    kinds = [node.kind for node in graph.nodes]
    assert kinds.count("integer_depthwise_conv2d") == kinds.count("conv2d") == 1
    check(graph, model, evaluated, 1e-4)


def test_a_scale_by_channel_is_folded_with_the_activation_that_it_makes_needless() -> None:
    net = Network()
    y = net.convolution(net.quantised("x", 0.03, 128), (16, 16), "y")
    net.constants |= {"low": np.float32(0), "high": np.float32(6)}
    net.add("Clip", f"{y} low high", "c")
    net.constants |= {"c_scale": np.linspace(0.001, 6 / 255, 16).astype(np.float32), "c_zero": np.zeros(16, np.uint8)}
    net.add("QuantizeLinear", "c c_scale c_zero", "c_q", axis=1)
    net.add("DequantizeLinear", "c_q c_scale c_zero", "c_dq", axis=1)
    net.convolution("c_dq", (16, 16), "d", groups=16)
    first = next(node for node in passed(net.model((1, 16, 7, 7), "d")).nodes if node.kind == "integer_conv2d")
    assert functions_of(first.epilogue) == {"quantize", "add", "mul", "to_float32"}


@pytest.mark.parametrize("behind", ["Relu", "Add", "QuantizeLinear"])
def test_element_wise_operators_behind_a_product_of_rank_3(behind: str, evaluated: Evaluate) -> None:
    random = np.random.default_rng(5)
    net = Network()
    net.constants |= {"w": random.integers(-127, 128, (64, 32)).astype(np.int8), "s": np.float32(0.01)}
    net.constants |= {"b": random.standard_normal(32).astype(np.float32)}
    x = net.quantised("x", 0.03, 100)
    net.add("DequantizeLinear", "w s", "wd")
    y = net.add("MatMul", f"{x} wd", "p")
    if behind == "QuantizeLinear":
        y = net.quantised(y, 0.1, 128)
    net.add(behind if behind != "QuantizeLinear" else "Relu", f"{y} b" if behind == "Add" else y, "y")
    model = net.model((1, 2, 64), "y")
    graph = read_onnx(model)
    for run in (lambda g: use_integers(g, BYTES), recognize, delay_views, fuse_epilogue, fold_scales):
        graph = run(graph)
    graph = plan_layout(graph, BYTES)
    assert "integer_conv2d" in [node.kind for node in graph.nodes]
    check(graph, model, evaluated, 0.1)


def test_a_bias_by_row_is_added_behind(evaluated: Evaluate) -> None:
    net = Network()
    random = np.random.default_rng(5)
    net.constants |= {"w": random.integers(-127, 128, (24, 3)).astype(np.int8), "s": np.float32(0.01)}
    net.constants |= {"b": random.standard_normal((3, 1)).astype(np.float32)}
    x = net.quantised("x", 0.03, 100)
    net.add("DequantizeLinear", "w s", "wd")
    net.add("Gemm", f"{x} wd b", "y")
    model = net.model((3, 24), "y")
    graph = passed(model)
    assert "integer_conv2d" in [node.kind for node in graph.nodes]
    check(graph, model, evaluated, 1e-4)


def test_the_maximum_of_a_whole_quantised_map() -> None:
    net = Network()
    y = net.add("MaxPool", net.quantised("x", 0.03, 128), "m", kernel_shape=[8, 8])
    net.convolution(y, (16, 16), "y", kernel=1)
    graph = passed(net.model((1, 16, 8, 8), "y"))
    for node in graph.nodes:
        if node.op not in ("onnx", "reshape"):
            template_for(workload_of(graph, node), BYTES)


@pytest.mark.parametrize(("weight", "kernel", "wide"), [(127, 3, True), (100, 3, False), (127, 1, False)])
def test_sums_that_may_be_large_are_said_to_be_wide(weight: int, kernel: int, wide: bool) -> None:
    """Nine products of 127 channels reach 2²⁵ if all weights are the largest; of windows of a pixel it is not asked."""
    net = Network()
    net.convolution(net.quantised("x", 0.03, 3), (127, 16), "y", kernel=kernel)
    net.constants["y_w"][...] = weight
    graph = passed(net.model((1, 127, 5, 5), "y"))
    attrs = next(node.attrs for node in graph.nodes if node.kind == "integer_conv2d")
    assert attrs.get("wide") == (1 if wide else None)


def test_both_sides_of_a_sum_stay_bytes_until_it_is_made(evaluated: Evaluate) -> None:
    """The kernel that makes the sum reads the other map's integers, although floats are made of them before."""
    net = Network()
    data = net.quantised("x", 0.03, 3)
    one = net.quantised(net.convolution(data, (16, 16), "a"), 0.02, 134)
    other = net.quantised(net.convolution(data, (16, 16), "b", kernel=1), 0.02, 142)
    net.quantised(net.add("Relu", net.add("Add", f"{one} {other}", "s"), "sr"), 0.03, 0)
    net.convolution("sr_dq", (16, 16), "y")
    model = net.model((1, 16, 7, 9), "y")
    graph = passed(model)
    made = {node.output: graph.tensor(node.output).dtype for node in graph.nodes if node.kind == "integer_conv2d"}
    assert list(made.values()) == ["uint8", "uint8", "float32"]
    assert not [
        node for node in graph.nodes if node.kind == "pointwise" and "dequantize" in functions_of(node.epilogue)
    ]
    check(graph, model, evaluated, 0.02)


@pytest.mark.parametrize(("channels", "groups", "kind"), [(40, 5, "integer_conv2d"), (36, 3, "conv2d")])
def test_groups_of_few_channels_fill_blocks_together(
    channels: int, groups: int, kind: str, evaluated: Evaluate
) -> None:
    """Groups of eight channels do; those of twelve end in the middle of blocks."""
    net = Network()
    net.convolution(net.quantised("x", 0.03, 128), (channels, channels), "y", groups=groups)
    model = net.model((1, channels, 6, 6), "y")
    graph = passed(model)
    assert kind in [node.kind for node in graph.nodes]
    check(graph, model, evaluated, 1e-4)
