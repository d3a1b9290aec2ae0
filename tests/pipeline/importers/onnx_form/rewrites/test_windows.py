"""Windows that pool, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.schedules.target import parse_target

WINDOWS: dict[str, dict[str, Any]] = {
    "plain": {"kernel_shape": [2, 3]},
    "rounded up": {"kernel_shape": [2, 4], "strides": [3, 3], "pads": [0, 2, 1, 2], "ceil_mode": 1},
    "uneven pads": {"kernel_shape": [3, 3], "strides": [3, 2], "pads": [2, 2, 0, 2], "ceil_mode": 1},
    "dilated": {"kernel_shape": [2, 3], "dilations": [2, 1], "strides": [1, 3]},
    "same": {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "same lower": {"kernel_shape": [3, 2], "strides": [2, 1], "auto_pad": "SAME_LOWER"},
}


@pytest.mark.parametrize("power", [1, 2, 3])
@pytest.mark.parametrize("name", WINDOWS)
def test_norms_in_windows(written_out: Any, name: str, power: int) -> None:
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 5, 7, 8), np.float32)}
    written_out(("LpPool", "x", "y", {**WINDOWS[name], "p": power}), feeds=feeds, without="LpPool", opset=18)


def test_norms_in_windows_of_lines(written_out: Any) -> None:
    feeds = {"x": np.array([[[0.0, 0.0, -np.inf, 1.0, np.nan, 0.0, -3.0]]], np.float32)}
    window = {"kernel_shape": [2], "strides": [2], "pads": [1, 1], "p": 2}
    written_out(("LpPool", "x", "y", window), feeds=feeds, without="LpPool", opset=18)


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("kernel", [1, 2])
def test_windows_behind_the_map_are_left_out(
    onnx_model: Any, imported: Any, check_whole: Any, operator: str, kernel: int
) -> None:
    """Rounded up, four pixels would have a third window, which begins behind them; files say what PyTorch computes."""
    window = {"kernel_shape": [kernel, 3], "strides": [2 + kernel // 2, 2], "ceil_mode": 1}
    nodes = [("Relu", "x", "r"), (operator, "r", "p", window), ("Neg", "p", "y")]
    model = onnx_model(*nodes, inputs={"x": (2, 3, 4, 8)}, outputs="y")
    shape = run_model(model, {"x": np.zeros((2, 3, 4, 8), np.float32)})["y"].shape
    del model.graph.value_info[:], model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape))
    check_whole(imported(model), parse_target("llvm", 2))
