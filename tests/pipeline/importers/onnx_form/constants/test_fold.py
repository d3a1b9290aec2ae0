"""Values that are known while importing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.onnx_models import make_model
from tvmopt.pipeline.importers.onnx_form.constants.fold import fold_constants
from tvmopt.pipeline.importers.onnx_form.normalize import infer_shapes
from tvmopt.pipeline.support.weights.light_model import park

Parse = Callable[..., onnx.ModelProto]


def folded(model: onnx.ModelProto) -> tuple[list[str], dict[str, np.ndarray]]:
    """What is left of `model`, and its constants."""
    typed = infer_shapes(model)
    fold_constants(typed)
    onnx.checker.check_model(typed, full_check=True)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in typed.graph.initializer}
    return [node.op_type for node in typed.graph.node], constants


def test_what_follows_from_constants_is_computed(parse: Parse) -> None:
    ops, constants = folded(
        parse("g (float[2] x) => (float[2] y) <float[2] c = {1, 4}> { r = Sqrt(c) s = Add(r,c) y = Mul(x,s) }")
    )
    assert ops == ["Mul"]
    np.testing.assert_array_equal(constants["s"], [2, 6])
    assert "r" not in constants  # nothing reads it any more


def test_an_output_may_be_a_constant(parse: Parse) -> None:
    ops, constants = folded(parse("g () => (float[n] y) <float[2] c = {1, 4}> { y = Sqrt(c) }"))
    assert ops == []
    np.testing.assert_array_equal(constants["y"], [1, 2])


def test_values_without_elements_are_known(parse: Parse) -> None:
    ops, constants = folded(
        parse(
            "g (float[4] x, float[0] e) => (float[0] y, float z, float[4] w)"
            " <int64[1] a = {4}, int64[1] b = {9}> { y = Slice(x,a,b) z = ReduceSum<keepdims=0>(e) w = Relu(x) }"
        )
    )
    assert ops == ["Relu"]
    assert constants["y"].shape == (0,)
    assert constants["z"] == 0


@pytest.mark.parametrize("operator", ["RandomNormalLike", "RandomUniformLike", "Bernoulli"])
def test_random_numbers_stay_random(parse: Parse, operator: str) -> None:
    ops, _ = folded(
        parse(f"g (float[2] x) => (float[2] y) <float[2] c = {{1, 0}}> {{ r = {operator}(c) y = Add(x,r) }}")
    )
    assert ops == [operator, "Add"]


def test_scales_of_weights_may_be_parked(tmp_path: Path) -> None:
    """As those of large models are: their arrays lie in a file."""
    weights = np.zeros((16, 1100), np.int8)
    model = make_model(
        ("QuantizeLinear", "x s z", "q"),
        ("DequantizeLinear", "q s z", "d"),
        ("DequantizeLinear", "w ws", "f", {"axis": 1}),
        ("MatMul", "d f", "y"),
        inputs={"x": (3, 16)},
        outputs="y",
        s=np.float32(0.1),
        z=np.uint8(7),
        w=weights,
        ws=np.full(1100, 0.1, np.float32),
    )
    parked = park(infer_shapes(model), tmp_path)
    places = {tensor.name: tensor.data_location for tensor in parked.graph.initializer}
    assert places["w"] == places["ws"] == onnx.TensorProto.EXTERNAL
    fold_constants(parked)
    assert [node.op_type for node in parked.graph.node] == [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("quantised", [True, False])
def test_weights_stay_integers_behind_a_concatenation_of_quantised_values(quantised: bool) -> None:
    """As NNCF writes models; where no value is quantised but weights are, these are floats."""
    values = ("QuantizeLinear", "x s z", "q"), ("DequantizeLinear", "q s z", "d")
    model = make_model(
        *(values if quantised else [("Identity", "x", "d")]),
        ("Concat", "d d", "c", {"axis": 1}),
        ("DequantizeLinear", "w ws", "f", {"axis": 1}),
        ("MatMul", "c f", "y"),
        inputs={"x": (3, 8)},
        outputs="y",
        s=np.float32(0.1),
        z=np.uint8(7),
        w=np.ones((16, 5), np.int8),
        ws=np.full(5, 0.1, np.float32),
    )
    ops, stored = folded(model)
    assert ("DequantizeLinear" in ops[-2:]) is quantised
    assert ("f" in stored) is not quantised
