"""Quantised models as the float networks that they describe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.onnx_models import make_model
from tests.quantised import Network, residual
from tvmopt.pipeline.errors import UnsupportedModelError, UsageError
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.importers.precision import in_floats, in_precision
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.types import ImportedModel

Load = Callable[[onnx.ModelProto], ImportedModel]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def run(model: onnx.ModelProto) -> ImportedModel:
        path = tmp_path / "net.onnx"
        onnx.save(model, path)
        return load_model(str(path))

    return run


def kinds(model: ImportedModel) -> set[str]:
    return {node.op_type for node in model.original.graph.node}


def test_values_keep_their_range_and_lose_their_steps(load: Load) -> None:
    net = Network()
    data = net.quantised("x", 0.25, -3, np.int8)  # -31.25 to 32.5
    net.quantised(net.convolution(data, (4, 6), "c"), 0.002, 0)  # no ReLU: the range begins at zero
    net.add("Neg", "c_dq", "y")
    model = in_floats(load(net.model((1, 4, 7, 5), "y")))
    assert kinds(model) == {"Clip", "Conv", "Neg"}
    weights = net.constants["c_w"].astype(np.float32) * net.constants["c_s"].reshape(-1, 1, 1, 1)
    by_hand = make_model(
        ("Clip", "x a b", "d"),
        ("Conv", "d w c_b", "c", {"pads": [1] * 4}),
        ("Clip", "c e f", "r"),
        ("Neg", "r", "y"),
        inputs={"x": (1, 4, 7, 5)},
        outputs="y",
        opset=19,
        w=weights,
        c_b=net.constants["c_b"],
        **{name: np.float32(value) for name, value in zip("abef", (-31.25, 32.5, 0.0, 0.51), strict=True)},
    )
    given = {"x": np.linspace(-60, 60, 140, dtype=np.float32).reshape(1, 4, 7, 5)}
    (wanted,), (got,) = run_model(by_hand, given).values(), run_model(model.original, given).values()
    assert wanted.min() < -0.4 and (wanted == 0).any()  # noqa: PT018
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)


def test_a_range_for_each_channel(load: Load) -> None:
    net = Network()
    scales, zeros = np.array([0.1, 0.5, 2.0], np.float32), np.zeros(3, np.uint8)
    net.constants |= {"s": scales, "z": zeros}
    net.add("QuantizeLinear", "x s z", "q", axis=1)
    net.add("DequantizeLinear", "q s z", "y", axis=1)
    model = in_floats(load(net.model((2, 3, 4), "y")))
    assert kinds(model) == {"Max", "Min"}
    x = np.random.default_rng(1).standard_normal((2, 3, 4)).astype(np.float32) * 200
    (got,) = run_model(model.original, {"x": x}).values()
    np.testing.assert_array_equal(got, np.clip(x, 0, 255 * scales.reshape(1, 3, 1)))


def test_a_range_before_clip_has_operands(load: Load) -> None:
    net = Network()
    net.quantised("x", 0.5, 10)
    model = make_model(*net.nodes, inputs={"x": (1, 3, 4)}, outputs="x_dq", opset=10, **net.constants)
    floats = in_floats(load(model))
    assert kinds(floats) == {"Max", "Min"}
    x = np.linspace(-50, 200, 12, dtype=np.float32).reshape(1, 3, 4)
    (got,) = run_model(floats.original, {"x": x}).values()
    np.testing.assert_array_equal(got, np.clip(x, -5, 122.5))


def test_what_only_inner_bodies_read_is_kept(load: Load) -> None:
    """A value and a constant of the model, read two bodies deep."""
    net = Network()
    net.quantised(net.add("Neg", "x", "n"), 0.5, 128)
    net.constants |= {"w": np.array([1, 2, 3], np.int8), "ws": np.float32(0.5), "k": np.float32(7), "c": np.bool_(True)}
    net.add("DequantizeLinear", "w ws", "wd")
    net.add("Relu", "x", "y")
    model = make_model(*net.nodes, inputs={"x": (2, 3)}, outputs="y", opset=19, **net.constants)
    result = [onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, None)]
    nodes = [("Add", ["n_dq", "wd"], "p"), ("Mul", ["p", "k"], "z")]
    body = onnx.helper.make_graph(
        [onnx.helper.make_node(op, taken, [made]) for op, taken, made in nodes], "b", [], result
    )
    for name in ("b", "c"):
        node = onnx.helper.make_node("If", ["c"], ["z"], f"if {name}", then_branch=body, else_branch=body)
        body = onnx.helper.make_graph([node], name, [], result)
    model.graph.node.append(node)
    model.graph.node[-1].output[0] = "v"
    model.graph.output.append(onnx.helper.make_tensor_value_info("v", onnx.TensorProto.FLOAT, (2, 3)))
    loaded = load(model)
    x = {"x": np.array([[-3.5, 0, 2], [1, 60, -2]], np.float32)}
    for wanted, got in zip(
        run_model(model, x).values(), run_model(in_floats(loaded).original, x).values(), strict=True
    ):
        np.testing.assert_allclose(got, wanted)


@pytest.mark.parametrize("operator", ["QGemm", "QLinearAdd"])
def test_other_forms_are_refused_whichever_they_are(load: Load, operator: str) -> None:
    model = make_model(
        ("QuantizeLinear", "x s z", "q"),
        ("Identity", "q", "r"),
        ("DequantizeLinear", "r s z", "y"),
        inputs={"x": (2, 3)},
        outputs="y",
        s=np.float32(0.5),
        z=np.uint8(3),
    )
    taken = {
        "QLinearAdd": ["q", "s", "z", "q", "s", "z", "s", "z"],
        "QGemm": ["q", "s", "z", "w", "s", "z", "", "s", "z"],
    }
    made = onnx.helper.make_node(operator, taken[operator], ["r"], "the layer", domain="com.microsoft")
    model.graph.node[1].CopyFrom(made)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((3, 3), np.uint8), "w"))
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    del model.graph.value_info[:]
    quantised = load(model)
    with pytest.raises(UnsupportedModelError, match=rf"'the layer' \({operator}\): only models in QDQ form"):
        in_precision(quantised, "fp32")


def test_a_value_that_stays_an_integer_is_rounded(load: Load) -> None:
    net = Network()
    net.quantised("x", 0.5, 0)
    model = in_floats(load(net.model((1, 3, 4, 4), "x_dq x_q")))
    assert kinds(model) == {"QuantizeLinear", "DequantizeLinear"}


def test_a_whole_network_differs_from_its_integers_by_rounding_only(load: Load) -> None:
    model = load(residual())
    floats = in_precision(model, "fp32")
    assert not any("Linear" in kind for kind in kinds(floats))
    assert floats.sha256 != model.sha256
    given = {"x": np.random.default_rng(2).standard_normal((1, 3, 20, 20)).astype(np.float32)}
    (rounded,), (exact,) = (run_model(one.original, given).values() for one in (model, floats))
    assert 0 < np.abs(rounded - exact).max() < 0.1 * np.abs(exact).max()


def test_a_float_model_stays_as_it_is(load: Load) -> None:
    model = load(make_model(("Relu", "x", "y"), inputs={"x": (1, 3)}, outputs="y"))
    assert in_precision(model, "fp32") is model
    assert in_precision(model, "auto") is model
    with pytest.raises(UsageError, match="net.onnx: not quantised, so --precision int8 has nothing to run"):
        in_precision(model, "int8")


def test_other_forms_are_refused(load: Load) -> None:
    model = make_model(
        ("DynamicQuantizeLinear", "x", "q s z"),
        ("DequantizeLinear", "q s z", "y"),
        inputs={"x": (1, 3)},
        outputs="y",
    )
    quantised = load(model)
    assert in_precision(quantised, "int8") is quantised
    with pytest.raises(UnsupportedModelError, match=r"DynamicQuantizeLinear\): only models in QDQ form"):
        in_precision(quantised, "fp32")
