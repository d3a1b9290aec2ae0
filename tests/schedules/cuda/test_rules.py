"""GPU schedules, tested by their structure, without a GPU."""

from __future__ import annotations

from typing import Any

import pytest

from tvmopt.schedules.cuda.rules import schedule_gpu
from tvmopt.schedules.target import parse_target

TARGET = parse_target("cuda:sm_80")

# The TVM function of an operator, and the shapes of its inputs.
OPERATORS: dict[str, tuple[Any, list[tuple[int, ...]]]] = {
    "elementwise": (lambda topi, x: topi.nn.relu(x), [(4, 33, 64)]),
    "matrix product": (lambda topi, x, y: topi.matmul(x, y), [(64, 128), (128, 96)]),
    "matrix and vector": (lambda topi, x, y: topi.matmul(x, y), [(1, 256), (256, 512)]),
    "convolution": (lambda topi, x, w: topi.nn.conv2d_nchw(x, w, 1, 1, 1), [(1, 8, 14, 14), (16, 8, 3, 3)]),
    "sum": (lambda topi, x: topi.sum(x, axis=1), [(64, 512)]),
    "softmax": (lambda topi, x: topi.nn.softmax(x), [(64, 130)]),
    "transpose": (lambda topi, x: topi.transpose(x, (1, 0)), [(64, 130)]),
    "pooling": (lambda topi, x: topi.nn.adaptive_pool(x, (1, 1), "avg"), [(1, 32, 7, 7)]),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_is_divided_among_blocks_and_threads(name: str) -> None:
    import tvm
    from tvm import te, topi

    build, shapes = OPERATORS[name]
    inputs = [te.placeholder(shape, "float32", name=f"input{i}") for i, shape in enumerate(shapes)]
    module = schedule_gpu(tvm.IRModule({"main": te.create_prim_func([*inputs, build(topi, *inputs)])}), TARGET)
    text = str(module["main"])
    assert "blockIdx.x" in text
    assert "threadIdx.x" in text
    assert module["main"].attrs["tirx.is_scheduled"]


def test_a_whole_network_is_scheduled(model_with_a_convolution: Any) -> None:
    from tvm import tirx

    functions = [f for _, f in model_with_a_convolution.functions_items() if isinstance(f, tirx.PrimFunc)]
    assert functions
    assert all("blockIdx.x" in str(function) for function in functions)


@pytest.fixture
def model_with_a_convolution() -> Any:
    """A small network, lowered and scheduled for a GPU."""
    import numpy as np
    from onnx import helper, numpy_helper
    from tvm.relax.frontend.onnx import from_onnx

    from tvmopt.pipeline.compiler import build

    weight = np.ones((8, 3, 3, 3), np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["y"]),
    ]
    infos = [helper.make_tensor_value_info("x", 1, (1, 3, 16, 16)), helper.make_tensor_value_info("y", 1, (1, 8, 1, 1))]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return build.schedule(from_onnx(model, keep_params_in_input=False), TARGET)
