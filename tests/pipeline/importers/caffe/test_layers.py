"""Each layer beside OpenCV's reader of Caffe's files, or numpy where that does something else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.pipeline.importers.caffe.files import Arrays, input_text, layer_text, random_array, save_caffe
from tvmopt.pipeline.importers.caffe.build import import_caffe
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
from tvmopt.pipeline.support.onnxruntime import run_model


def imported(path: Path, x: np.ndarray) -> np.ndarray:
    """The only output of our import."""
    model = import_caffe(path, ShapeRequest())
    onnx.checker.check_model(model, full_check=True)
    (output,) = run_model(model, {model.graph.input[0].name: x}).values()
    assert output.shape == tuple(dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim)
    return np.asarray(output)


def opencv(path: Path, x: np.ndarray) -> np.ndarray:
    """The last layer's output in OpenCV."""
    cv2 = pytest.importorskip("cv2", reason="opencv-python-headless below 5 is not installed")
    if int(cv2.__version__.split(".")[0]) >= 5:
        pytest.skip(f"OpenCV {cv2.__version__} reads no Caffe files: install opencv-python-headless below 5")
    network = cv2.dnn.readNetFromCaffe(str(path), str(path.with_suffix(".caffemodel")))
    network.setInput(x)
    return np.asarray(network.forward())


def beside_opencv(folder: Path, layers: str, arrays: Arrays, shape: Sequence[int], old: bool = False) -> None:
    path = save_caffe(folder, input_text(*shape) + layers, arrays, old)
    x = random_array(7, *shape)
    ours, theirs = imported(path, x), opencv(path, x)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


CONVOLUTIONS = {
    "plain": ("num_output: 6 kernel_size: 3", (6, 3, 3, 3)),
    "no bias": ("num_output: 6 kernel_size: 3 bias_term: false pad: 1", (6, 3, 3, 3)),
    "sides": ("num_output: 5 kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 2 stride_h: 2 stride_w: 1", (5, 3, 1, 3)),
    "two": ("num_output: 5 kernel_size: 2 kernel_size: 3 stride: 2 stride: 3", (5, 3, 2, 3)),
    "dilated": ("num_output: 4 kernel_size: 3 dilation: 2 pad: 2", (4, 3, 3, 3)),
    "grouped": ("num_output: 6 kernel_size: 3 group: 3 stride: 2 pad: 1", (6, 1, 3, 3)),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions(case: str, tmp_path: Path) -> None:
    text, shape = CONVOLUTIONS[case]
    arrays = [random_array(1, *shape)] + ([] if "no" in case else [random_array(2, shape[0])])
    layer = layer_text("Convolution", "c", "data", "y", f"convolution_param {{ {text} }}")
    beside_opencv(tmp_path, layer, {"c": arrays}, (2, 3, 11, 9))


@pytest.mark.parametrize("group", [1, 2])
def test_deconvolution(group: int, tmp_path: Path) -> None:
    text = f"convolution_param {{ num_output: 6 kernel_size: 4 stride: 2 pad: 1 group: {group} }}"
    arrays = {"d": [random_array(1, 4, 6 // group, 4, 4), random_array(2, 6)]}
    beside_opencv(tmp_path, layer_text("Deconvolution", "d", "data", "y", text), arrays, (1, 4, 5, 7))


WINDOWS = (
    "kernel_size: 3 stride: 2",
    "kernel_size: 2 stride: 2",
    "kernel_size: 3 stride: 2 pad: 1",
    "kernel_size: 3 pad: 1",
    "kernel_h: 2 kernel_w: 3 stride_h: 1 stride_w: 2",
    "global_pooling: true",
    "kernel_size: 5 stride: 3",
)


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize("text", WINDOWS)
@pytest.mark.parametrize("side", [8, 11])
def test_pooling(pool: str, text: str, side: int, tmp_path: Path) -> None:
    layer = layer_text("Pooling", "p", "data", "y", f"pooling_param {{ pool: {pool} {text} }}")
    beside_opencv(tmp_path, layer, {"p": [np.ones(1)]}, (1, 2, side, side + 1))


def caffe_average(x: np.ndarray, kernel: int, stride: int, pad: int) -> np.ndarray:
    """Caffe's loop over windows."""
    size = x.shape[0]
    count = -(-(size + 2 * pad - kernel) // stride) + 1
    count -= (count - 1) * stride >= size + pad
    result = np.zeros((count, count), np.float32)
    for i in range(count):
        for j in range(count):
            starts = [i * stride - pad, j * stride - pad]
            ends = [min(start + kernel, size + pad) for start in starts]
            area = (ends[0] - starts[0]) * (ends[1] - starts[1])
            window = x[max(starts[0], 0) : min(ends[0], size), max(starts[1], 0) : min(ends[1], size)]
            result[i, j] = window.sum() / area
    return result


@pytest.mark.parametrize(("size", "kernel", "stride", "pad"), [(8, 4, 3, 1), (7, 5, 4, 1), (9, 3, 2, 1), (6, 3, 2, 2)])
def test_averages_count_the_pad_but_not_what_is_behind_it(
    size: int, kernel: int, stride: int, pad: int, tmp_path: Path
) -> None:
    text = f"pooling_param {{ pool: AVE kernel_size: {kernel} stride: {stride} pad: {pad} }}"
    layers = input_text(1, 1, size, size) + layer_text("Pooling", "p", "data", "y", text)
    x = random_array(3, 1, 1, size, size)
    found = imported(save_caffe(tmp_path, layers, {"p": [np.ones(1)]}), x)
    np.testing.assert_allclose(found[0, 0], caffe_average(x[0, 0], kernel, stride, pad), rtol=1e-5, atol=1e-6)


POINTWISE = {
    "ReLU": "",
    "ReLU leaky": "relu_param { negative_slope: 0.1 }",
    "ELU": "elu_param { alpha: 0.5 }",
    "Sigmoid": "",
    "TanH": "",
    "AbsVal": "",
    "BNLL": "",
    "Power": "power_param { power: 2 scale: 0.5 shift: 3 }",
    "Softmax": "",
    "Flatten": "",
    "LRN": "lrn_param { local_size: 5 alpha: 0.3 beta: 0.75 }",
    "Permute": "permute_param { order: 0 order: 2 order: 3 order: 1 }",
    "Reshape": "reshape_param { shape { dim: 0 dim: -1 dim: 2 } }",
    "MVN": "mvn_param { normalize_variance: false }",
}


@pytest.mark.parametrize("case", POINTWISE)
def test_layers_without_weights(case: str, tmp_path: Path) -> None:
    layer = layer_text(case.split(maxsplit=1)[0], "l", "data", "y", POINTWISE[case])
    beside_opencv(tmp_path, layer, {"l": [np.ones(1)]}, (1, 6, 4, 5))


def test_lrn_within_channels(tmp_path: Path) -> None:
    layer = layer_text(
        "LRN", "l", "data", "y", "lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 norm_region: WITHIN_CHANNEL }"
    )
    x = random_array(1, 1, 1, 6, 6)
    found = imported(save_caffe(tmp_path, input_text(1, 1, 6, 6) + layer, {"l": [np.ones(1)]}), x)
    squares = np.pad(x[0, 0] ** 2, 1)
    sums = np.array([[squares[i : i + 3, j : j + 3].sum() for j in range(6)] for i in range(6)])
    np.testing.assert_allclose(found[0, 0], x[0, 0] * (1 + 0.5 * sums / 9) ** -0.75, rtol=1e-5)


def test_exp_and_log_of_a_base(tmp_path: Path) -> None:
    layers = layer_text("Exp", "e", "data", "e", "exp_param { base: 2 scale: 0.5 shift: 1 }")
    layers += layer_text("Log", "l", "e", "y", "log_param { base: 10 scale: 3 shift: 2 }")
    x = random_array(1, 2, 3)
    found = imported(save_caffe(tmp_path, input_text(2, 3) + layers, {"e": [np.ones(1)]}), x)
    np.testing.assert_allclose(found, np.log10(3 * 2 ** (0.5 * x + 1) + 2), rtol=1e-5)


def test_batch_norm_divides_its_sums_and_scale_follows_in_place(tmp_path: Path) -> None:
    layers = layer_text("BatchNorm", "b", "data", "y", "batch_norm_param { eps: 0.001 }")
    layers += layer_text("Scale", "s", "y", "y", "scale_param { bias_term: true }")
    statistics = [random_array(1, 5) * 7, np.abs(random_array(2, 5)) * 7 + 1, np.array([7.0])]
    arrays = {"b": statistics, "s": [random_array(3, 5), random_array(4, 5)]}
    beside_opencv(tmp_path, layers, arrays, (2, 5, 4, 3))


def test_inner_product_flattens_and_takes_an_old_file(tmp_path: Path) -> None:
    weights = {"i": [random_array(1, 7, 24), random_array(2, 7)]}
    text = "inner_product_param { num_output: 7 }"
    beside_opencv(tmp_path, layer_text("InnerProduct", "i", "data", "y", text), weights, (3, 2, 3, 4))
    old = f'layers {{ name: "i" type: INNER_PRODUCT bottom: "data" top: "y" {text} }}'
    beside_opencv(tmp_path, old, weights, (3, 2, 3, 4), old=True)


def test_inner_product_along_another_axis_and_transposed(tmp_path: Path) -> None:
    text = "inner_product_param { num_output: 4 axis: 2 transpose: true bias_term: false }"
    weights = random_array(1, 5, 4)
    x = random_array(2, 2, 3, 5)
    layers = input_text(2, 3, 5) + layer_text("InnerProduct", "i", "data", "y", text)
    np.testing.assert_allclose(
        imported(save_caffe(tmp_path, layers, {"i": [weights]}), x), x @ weights, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("operation", ["SUM coeff: 1 coeff: -0.5", "PROD", "MAX"])
def test_eltwise_of_a_split(operation: str, tmp_path: Path) -> None:
    layers = layer_text("Split", "s", "data", "a b") + layer_text("Power", "p", "b", "c", "power_param { shift: 0.3 }")
    layers += layer_text("Eltwise", "e", "a c", "y", f"eltwise_param {{ operation: {operation} }}")
    beside_opencv(tmp_path, layers, {"e": [np.ones(1)]}, (1, 3, 4, 5))


def test_slices_and_concat(tmp_path: Path) -> None:
    layers = layer_text("Slice", "s", "data", "a b c", "slice_param { slice_point: 1 slice_point: 4 }")
    layers += layer_text("Concat", "e", "c a b", "y")
    beside_opencv(tmp_path, layers, {"e": [np.ones(1)]}, (2, 6, 3, 3))


@pytest.mark.parametrize("shared", [False, True])
def test_prelu_and_normalize(shared: bool, tmp_path: Path) -> None:
    flag = "true" if shared else "false"
    layers = layer_text("PReLU", "p", "data", "a", f"prelu_param {{ channel_shared: {flag} }}")
    layers += layer_text("Normalize", "n", "a", "y", f"norm_param {{ across_spatial: false channel_shared: {flag} }}")
    count = 1 if shared else 4
    beside_opencv(tmp_path, layers, {"p": [random_array(1, count)], "n": [random_array(2, count)]}, (1, 4, 3, 5))


def test_a_scale_by_another_blob(tmp_path: Path) -> None:
    """Squeeze and excitation: factors per channel, computed from the maps."""
    layers = layer_text("Pooling", "p", "data", "g", "pooling_param { pool: AVE global_pooling: true }")
    layers += layer_text("Flatten", "f", "g", "h") + layer_text("Scale", "s", "data h", "y", "scale_param { axis: 0 }")
    x = random_array(1, 2, 3, 4, 5)
    found = imported(save_caffe(tmp_path, input_text(2, 3, 4, 5) + layers, {"s": [np.ones(1)]}), x)
    np.testing.assert_allclose(found, x * x.mean((2, 3), keepdims=True), rtol=1e-5, atol=1e-6)


def test_crop_interp_tile_reduction_and_argmax(tmp_path: Path) -> None:
    layers = layer_text("Interp", "i", "data", "i", "interp_param { height: 9 width: 7 }")
    layers += layer_text("Crop", "c", "i data", "c", "crop_param { axis: 2 offset: 2 offset: 1 }")
    x = random_array(1, 1, 3, 5, 4)
    found = imported(save_caffe(tmp_path, input_text(1, 3, 5, 4) + layers, {"i": [np.ones(1)]}), x)
    np.testing.assert_allclose(found[0, :, ::2, 1::2], x[0, :, 1:4, 1:3], rtol=1e-5, atol=1e-6)
    layers = layer_text("Tile", "t", "data", "t", "tile_param { axis: 1 tiles: 2 }")
    layers += layer_text("Reduction", "r", "t", "y", "reduction_param { operation: SUMSQ axis: 1 coeff: 0.5 }")
    found = imported(save_caffe(tmp_path, input_text(1, 3, 5, 4) + layers, {"t": [np.ones(1)]}), x)
    np.testing.assert_allclose(found, [(x**2).sum()], rtol=1e-5)
    layers = layer_text("ArgMax", "a", "data", "y", "argmax_param { axis: 1 top_k: 2 }")
    found = imported(save_caffe(tmp_path, input_text(1, 3, 5, 4) + layers, {"a": [np.ones(1)]}), x)
    assert np.array_equal(found, np.argsort(-x, axis=1)[:, :2])
