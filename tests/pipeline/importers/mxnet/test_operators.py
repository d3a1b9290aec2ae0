"""Operators and their quirks beside numpy, and a network that others trained."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.pipeline.importers.caffe.files import random_array
from tests.pipeline.importers.caffe.test_layers import caffe_average
from tests.pipeline.importers.mxnet.files import node, save_mxnet
from tvmopt.pipeline.importers.mxnet.build import import_mxnet
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
from tvmopt.pipeline.support.onnxruntime import run_model


def run(path: Path, x: np.ndarray) -> np.ndarray:
    """The only output of the network."""
    model = import_mxnet(path, ShapeRequest({"data": x.shape}))
    onnx.checker.check_model(model, full_check=True)
    (output,) = run_model(model, {"data": x}).values()
    return np.asarray(output)


def one(
    folder: Path, operator: str, x: np.ndarray, arrays: Mapping[str, np.ndarray], **attributes: object
) -> np.ndarray:
    """The result of a single operator; `arrays` are its further operands."""
    nodes = [node("null", "data"), *(node("null", name) for name in arrays)]
    nodes.append(node(operator, "op", range(len(nodes)), **attributes))
    return run(save_mxnet(folder, nodes, {f"arg:{name}": array for name, array in arrays.items()}), x)


@pytest.mark.parametrize("fix", [True, False, None])
def test_batch_norm_fixes_gamma_unless_told_otherwise(fix: bool | None, tmp_path: Path) -> None:
    x = random_array(1, 2, 3, 4, 5)
    arrays = {name: random_array(place, 3) for place, name in enumerate(("g", "b", "m"))}
    arrays["v"] = np.abs(random_array(9, 3)) + 0.5
    attributes = {} if fix is None else {"fix_gamma": fix}
    found = one(tmp_path, "BatchNorm", x, arrays, **attributes)
    gamma, beta, mean, variance = (array[:, None, None] for array in arrays.values())
    factor = gamma if fix is False else 1
    np.testing.assert_allclose(found, (x - mean) / np.sqrt(variance + 1e-3) * factor + beta, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["avg", "max"])
@pytest.mark.parametrize(("convention", "count"), [("valid", 3), ("full", 4), (None, 3)])
def test_pooling_conventions(kind: str, convention: str | None, count: int, tmp_path: Path) -> None:
    x = random_array(2, 1, 1, 8, 8)
    attributes = {"pooling_convention": convention} if convention else {}
    found = one(tmp_path, "Pooling", x, {}, kernel="(3, 3)", stride="(2, 2)", pool_type=kind, **attributes)
    assert found.shape == (1, 1, count, count)
    windows = [
        [x[0, 0, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] for j in range(count)] for i in range(count)
    ]  # slices end where the maps do
    expected = [[window.mean() if kind == "avg" else window.max() for window in row] for row in windows]
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-5)


def test_full_averages_count_the_pad(tmp_path: Path) -> None:
    x = random_array(2, 1, 1, 8, 8)
    found = one(
        tmp_path, "Pooling", x, {}, kernel="(4, 4)", stride="(3, 3)", pad="(1, 1)", pool_type="avg",
        pooling_convention="full",
    )  # fmt: skip
    np.testing.assert_allclose(found[0, 0], caffe_average(x[0, 0], 4, 3, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("flatten", [True, False])
def test_fully_connected(flatten: bool, tmp_path: Path) -> None:
    x = random_array(3, 2, 3, 4)
    weight, bias = random_array(4, 5, 12 if flatten else 4), random_array(5, 5)
    found = one(tmp_path, "FullyConnected", x, {"w": weight, "b": bias}, num_hidden=5, flatten=flatten)
    expected = (x.reshape(2, 12) if flatten else x) @ weight.T + bias
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("(0, -1)", (2, 60)),
        ("(-2,)", (2, 3, 4, 5)),
        ("(-3, -2)", (6, 4, 5)),
        ("(0, 0, -3)", (2, 3, 20)),
        ("(-4, 1, 2, -2)", (1, 2, 3, 4, 5)),
        ("(0, 0, -4, -1, 2, 0)", (2, 3, 2, 2, 5)),
    ],
)
def test_codes_of_reshape(shape: str, expected: tuple[int, ...], tmp_path: Path) -> None:
    x = random_array(1, 2, 3, 4, 5)
    assert np.array_equal(one(tmp_path, "Reshape", x, {}, shape=shape), x.reshape(expected))


@pytest.mark.parametrize("kind", ["leaky", "elu", "prelu", "rrelu", "gelu"])
def test_kinds_of_leaky_relu(kind: str, tmp_path: Path) -> None:
    x = random_array(1, 2, 3, 4, 4)
    slopes = random_array(2, 3)
    found = one(tmp_path, "LeakyReLU", x, {"gamma": slopes} if kind == "prelu" else {}, act_type=kind, slope=0.3)
    factor = {"leaky": 0.3, "prelu": slopes[:, None, None], "rrelu": (0.125 + 0.334) / 2}.get(kind, 0)
    expected = np.where(x > 0, x, x * factor)
    if kind == "elu":
        expected = np.where(x > 0, x, 0.3 * np.expm1(x))
    elif kind == "gelu":
        pytest.importorskip("scipy")
        from scipy.special import erf

        expected = x * (1 + erf(x / np.sqrt(2))) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_numbers_as_operands(tmp_path: Path) -> None:
    x = random_array(1, 2, 3) + 3
    nodes = [
        node("null", "data"),
        node("_rminus_scalar", "a", [0], scalar=1.5),
        node("_rdiv_scalar", "b", [1], scalar=2),
    ]
    nodes += [node("_power_scalar", "c", [2], scalar=2), node("_minimum_scalar", "d", [3], scalar=0.8)]
    nodes += [node("elemwise_add", "e", [4, 0]), node("broadcast_mul", "f", [5, 1]), node("_greater_scalar", "g", [6])]
    path = save_mxnet(tmp_path, nodes[:-1], {})
    expected = (np.minimum((2 / (1.5 - x)) ** 2, 0.8) + x) * (1.5 - x)
    np.testing.assert_allclose(run(path, x), expected, rtol=1e-5)
    assert np.array_equal(run(save_mxnet(tmp_path, nodes, {}), x), expected > 0)


def test_outputs_of_a_split_and_a_label(tmp_path: Path) -> None:
    x = random_array(1, 2, 4, 3)
    nodes = [node("null", "data"), node("SliceChannel", "s", [0], num_outputs=2), node("Concat", "c", [(1, 1), (1, 0)])]
    nodes += [node("null", "softmax_label"), node("SoftmaxOutput", "softmax", [2, 3], multi_output=True)]
    swapped = np.concatenate([x[:, 2:], x[:, :2]], 1)
    exponents = np.exp(swapped)
    expected = exponents / exponents.sum(1, keepdims=True)
    np.testing.assert_allclose(run(save_mxnet(tmp_path, nodes, {}), x), expected, rtol=1e-5)


@pytest.mark.parametrize("operator", ["SoftmaxOutput", "SoftmaxActivation"])
def test_softmax_of_maps_goes_along_the_last_axis(operator: str, tmp_path: Path) -> None:
    x = random_array(1, 2, 3, 4, 5)
    exponents = np.exp(x)
    np.testing.assert_allclose(one(tmp_path, operator, x, {}), exponents / exponents.sum(-1, keepdims=True), rtol=1e-5)


def test_a_trained_network() -> None:
    """The expected values are MXNet 1.9.1's."""
    folder = Path(os.environ.get("TVMOPT_REAL_MODELS", "nowhere")) / "mxnet"
    path = folder / "MobileFace_Identification_V2-symbol.json"
    if not path.is_file():
        pytest.skip("TVMOPT_REAL_MODELS names no folder with mxnet/MobileFace_Identification_V2-symbol.json")
    found = run(path, np.random.default_rng(0).integers(0, 256, (1, 3, 100, 100)).astype(np.float32))
    np.testing.assert_allclose(found[0, :4], [-9.53724, -8.52515, -2.03509, 1.84526], rtol=1e-4)
    assert np.linalg.norm(found) == pytest.approx(66.6212, rel=1e-5)


def test_parameters_that_gluon_packs_and_zeros_as_first_states(tmp_path: Path) -> None:
    """Gluon joins the weights in the symbol; the result is that of a row of them in the file."""
    x, hidden, width = random_array(1, 5, 2, 3), 4, 3
    shapes = ((4 * hidden, width), (4 * hidden, hidden), (4 * hidden,), (4 * hidden,))
    arrays = {f"p{place}": random_array(place + 2, *shape) for place, shape in enumerate(shapes)}
    attributes = {"mode": "lstm", "state_size": hidden, "num_layers": 1}
    nodes = [node("null", "data"), *(node("null", name) for name in arrays)]
    nodes += [node("Reshape", f"r{place}", [place], shape="-1") for place in range(1, 5)]
    nodes += [node("_rnn_param_concat", "joined", range(5, 9), dim=0), node("_zeros", "h", [], shape=(1, 0, hidden))]
    nodes += [node("_zeros", "c", [], shape=(1, 2, hidden)), node("RNN", "rnn", [0, 9, 10, 11], **attributes)]
    found = run(save_mxnet(tmp_path, nodes, arrays), x)
    row = np.concatenate([array.reshape(-1) for array in arrays.values()])
    states = {name: np.zeros((1, 2, hidden), np.float32) for name in "hc"}
    np.testing.assert_allclose(found, one(tmp_path, "RNN", x, {"row": row, **states}, **attributes), rtol=1e-6)


@pytest.mark.parametrize("operator", ["Convolution", "Deconvolution", "Pooling"])
def test_channels_last_computes_the_same(operator: str, tmp_path: Path) -> None:
    x, weights = random_array(1, 2, 4, 7, 6), random_array(2, 4, 3, 3, 2)
    attributes: dict[str, object] = {"kernel": "(3, 2)", "stride": "(2, 1)", "no_bias": True}
    arrays, turned = {}, {}
    if operator != "Pooling":
        attributes["num_filter"] = 3 if operator == "Deconvolution" else 4
        weights = weights if operator == "Deconvolution" else random_array(2, 4, 4, 3, 2)
        arrays, turned = {"w": weights}, {"w": np.ascontiguousarray(np.moveaxis(weights, 1, -1))}
    expected = one(tmp_path, operator, x, arrays, **attributes)
    found = one(tmp_path, operator, np.ascontiguousarray(np.moveaxis(x, 1, -1)), turned, layout="NHWC", **attributes)
    np.testing.assert_allclose(np.moveaxis(found, -1, 1), expected, rtol=1e-5, atol=1e-6)
