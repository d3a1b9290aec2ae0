"""Rules against onnxruntime, on odd shapes and on values that hurt."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from tvmopt.pipeline.importers.onnx_form import loops
from tvmopt.pipeline.importers.onnx_form.layer_names import name_nodes
from tvmopt.pipeline.importers.onnx_form.normalize import normalize
from tvmopt.pipeline.importers.onnx_form.operators import WRITTEN_OUT, supported_operators
from tvmopt.pipeline.importers.onnx_form.rewrites.rewrite import rules
from tvmopt.pipeline.support.onnxruntime import run_model

RANDOM = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, np.float32)


def integers(low: int, high: int, shape: tuple[int, ...], dtype: str = "int64") -> np.ndarray:
    return RANDOM.integers(low, high, shape).astype(dtype)


def test_the_list_of_operators_that_are_written_out_is_complete() -> None:
    assert set(rules()) - supported_operators() <= WRITTEN_OUT <= {*rules(), *loops.RULES}


@pytest.mark.parametrize("kind", ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions_over_no_axes(written_out: Any, kind: str, keepdims: int) -> None:
    operator, axes = f"Reduce{kind}", np.zeros(0, np.int64)
    feeds = {"x": np.abs(normal(3, 5)) + np.float32(0.1) if kind == "LogSum" else normal(3, 5)}
    nothing = {"noop_with_empty_axes": 1, "keepdims": keepdims}
    written_out((operator, "x a", "y", nothing), feeds=feeds, without=operator, a=axes)
    kept = (operator, "x a", "y", {"keepdims": keepdims})
    assert operator in written_out(kept, feeds=feeds, without="Identity", a=axes)


@pytest.mark.parametrize("operator", ["ReduceMax", "ReduceMin"])
def test_reductions_of_booleans(written_out: Any, operator: str) -> None:
    feeds = {"x": integers(0, 2, (4, 3, 5), "bool")}
    assert "Cast" in written_out((operator, "x a", "y"), feeds=feeds, without="none", opset=20, a=np.array([-1]))


@pytest.mark.parametrize("axis", [-1, 1, 0])
def test_moments_of_layer_normalization(written_out: Any, axis: int) -> None:
    shape = (3, 5, 7)
    weight = normal(*shape[axis % 3 :])
    written_out(
        ("LayerNormalization", "x w", "y m i", {"axis": axis}),
        feeds={"x": normal(*shape) + 3},
        without="none",
        outputs="y m i",
        w=weight,
    )


@pytest.mark.parametrize("p", [1, 2])
def test_lp_normalization_of_zeros(written_out: Any, p: int) -> None:
    data = normal(3, 5)
    data[1] = 0
    feeds = {"x": data}
    written_out(("LpNormalization", "x", "y", {"p": p, "axis": 1}), feeds=feeds, without="LpNormalization", opset=18)


def test_batch_normalization_in_training(written_out: Any) -> None:
    feeds = {"x": normal(4, 3, 5, 2), "s": normal(3), "b": normal(3), "m": normal(3), "v": np.abs(normal(3))}
    attributes = {"training_mode": 1, "momentum": 0.7, "epsilon": 0.01}
    node = ("BatchNormalization", "x s b m v", "y n w", attributes)
    written_out(node, feeds=feeds, without="BatchNormalization", outputs="y n w")


@pytest.mark.parametrize("left", ["uint8", "int8"])
def test_quantised_products(written_out: Any, left: str) -> None:
    def limits(dtype: str) -> tuple[int, int]:
        return (-128, 128) if dtype == "int8" else (0, 256)

    written_out(
        ("QLinearMatMul", "a as az b bs bz ys yz", "y"),
        feeds={"a": integers(*limits(left), (2, 3, 7), left)},
        without="QLinearMatMul",
        b=integers(*limits("int8"), (7, 5), "int8"),
        bz=np.int8(-3),
        bs=np.float32(0.02),
        az=np.array(5, left),
        ys=np.float32(0.3),
        yz=np.array(7, left),
        **{"as": np.float32(0.1)},
    )


CONVOLUTIONS = [
    {"pads": [1, 0, 2, 1], "strides": [2, 1]},
    {"group": 2, "dilations": [2, 1]},
    {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"auto_pad": "SAME_LOWER"},
    {"auto_pad": "VALID"},
]


@pytest.mark.parametrize("attributes", CONVOLUTIONS, ids=str)
def test_convolutions_of_integers(written_out: Any, attributes: dict[str, Any]) -> None:
    weight = integers(0, 255, (6, 4 // int(attributes.get("group", 1)), 3, 2), "uint8")
    written_out(
        ("ConvInteger", "x w z", "y", attributes),
        feeds={"x": integers(0, 256, (2, 4, 9, 8), "uint8")},
        without="ConvInteger",
        w=weight,
        z=np.uint8(100),
    )


def test_quantised_convolution_with_a_scale_for_each_channel(written_out: Any) -> None:
    written_out(
        ("QLinearConv", "x xs xz w ws wz ys yz b", "y", {"pads": [1, 1, 1, 1]}),
        feeds={"x": integers(0, 256, (1, 3, 6, 5), "uint8")},
        without="QLinearConv",
        xs=np.float32(0.05),
        xz=np.uint8(120),
        w=integers(-127, 128, (4, 3, 3, 3), "int8"),
        ws=np.abs(normal(4)) * np.float32(0.01) + np.float32(0.01),
        wz=np.zeros(4, np.int8),
        ys=np.float32(0.2),
        yz=np.uint8(99),
        b=integers(-500, 500, (4,), "int32"),
    )


@pytest.mark.parametrize(("dtype", "zero"), [("int8", -3), ("uint8", 200)])
def test_rows_of_a_quantised_table(onnx_model: Any, dtype: str, zero: int) -> None:
    """Rows of bytes are chosen, and only these become floats; a scale for each row leaves the table as it is."""
    data = integers(*((-128, 128) if dtype == "int8" else (0, 256)), (9, 4), dtype)
    nodes = (("DequantizeLinear", "t s z", "f", {"axis": 0}), ("Gather", "f i", "y"))
    feeds = {"i": np.array([[8, 0], [3, 3]])}
    for several in (False, True):
        scale, place = np.float32(0.1), np.array(zero, dtype)
        constants = {
            "t": data,
            "s": np.full(9, scale) if several else scale,
            "z": np.full(9, place) if several else place,
        }
        model = onnx_model(*nodes, inputs={"i": ("int64", 2, 2)}, outputs="y", **constants)
        name_nodes(model.graph.node)
        result = normalize(model)
        stored = {tensor.name: tensor.data_type for tensor in result.graph.initializer}
        (gather,) = (node for node in result.graph.node if node.op_type == "Gather")
        assert (stored.get(gather.input[0]) in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)) is not several
        np.testing.assert_array_equal(run_model(result, feeds)["y"], run_model(model, feeds)["y"])


@pytest.mark.parametrize("operator", ["QuantizeLinear", "DequantizeLinear"])
def test_a_scale_for_each_block(written_out: Any, operator: str) -> None:
    data = normal(2, 7, 3) * 200 if operator == "QuantizeLinear" else integers(-128, 128, (2, 7, 3), "int8")
    written_out(
        (operator, "x s z", "y", {"axis": 1, "block_size": 3}),
        feeds={"x": data},
        without=operator,
        opset=21,
        s=np.abs(normal(2, 3, 3)) + np.float32(0.5),
        z=integers(-9, 9, (2, 3, 3), "int8"),
    )


@pytest.mark.parametrize(
    "attributes",
    [{}, {"strides": [2, 1]}, {"pads": [1, 0, 0, 2]}, {"dilations": [1, 2], "pads": [1, 1, 1, 1], "strides": [2, 2]}],
    ids=str,
)
def test_columns_to_image(written_out: Any, attributes: dict[str, Any]) -> None:
    image, block = np.array([6, 7]), np.array([2, 3])
    pads, strides = attributes.get("pads", [0] * 4), attributes.get("strides", [1, 1])
    spans = [
        dilation * (size - 1) + 1 for size, dilation in zip(block, attributes.get("dilations", [1, 1]), strict=True)
    ]
    steps = [(image[i] + pads[i] + pads[i + 2] - spans[i]) // strides[i] + 1 for i in range(2)]
    feeds = {"x": normal(2, 3 * 6, int(np.prod(steps)))}
    written_out(("Col2Im", "x i b", "y", attributes), feeds=feeds, without="Col2Im", i=image, b=block)


@pytest.mark.parametrize(("groups", "parts"), [(1, 1), (2, 1), (1, 2)])
def test_deformable_convolution(written_out: Any, groups: int, parts: int) -> None:
    feeds = {"x": normal(2, 4, 6, 5), "o": normal(2, parts * 2 * 6, 5, 3) * 3, "m": normal(2, parts * 6, 5, 3)}
    attributes = {
        "pads": [1, 0, 0, 1],
        "strides": [1, 2],
        "group": groups,
        "offset_group": parts,
        "kernel_shape": [3, 2],
    }
    weights = {"w": normal(6, 4 // groups, 3, 2), "b": normal(6)}
    node = ("DeformConv", "x w o b m", "y", attributes)
    written_out(node, feeds=feeds, without="DeformConv", opset=19, **weights)


@pytest.mark.parametrize("axis", [-1, 0, 1, 2])
@pytest.mark.parametrize("dtype", ["int64", "int32", "float32"])
def test_one_hot(written_out: Any, axis: int, dtype: str) -> None:
    index = np.array([[0, 4, 5], [2, 200, 1]], dtype)
    index = index - np.array([[0, 5, 12], [0, 0, 2]], dtype)
    if dtype == "float32":
        index[0, 0] = 0.5
    constants = {"d": np.array(5, dtype), "v": np.array([-1, 3], np.float32)}
    written_out(("OneHot", "x d v", "y", {"axis": axis}), feeds={"x": index}, without="OneHot", **constants)


@pytest.mark.parametrize("attributes", [{}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}], ids=str)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_running_products(written_out: Any, attributes: dict[str, int], axis: int) -> None:
    feeds = {"x": normal(3, 5, 1)}
    node = ("CumProd", "x a", "y", attributes)
    written_out(node, feeds=feeds, without="CumProd", opset=26, a=np.array(axis))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_determinants(written_out: Any, size: int) -> None:
    written_out(("Det", "x", "y"), feeds={"x": normal(2, 3, size, size)}, without="Det")


@pytest.mark.parametrize(("time", "batch"), [(0, 1), (1, 0)])
def test_reversed_sequences(written_out: Any, time: int, batch: int) -> None:
    feeds = {"x": normal(4, 4, 3), "n": np.array([1, 3, 4, 2])}
    node = ("ReverseSequence", "x n", "y", {"time_axis": time, "batch_axis": batch})
    written_out(node, feeds=feeds, without="ReverseSequence")


@pytest.mark.parametrize("mode", ["linear", "circular"])
def test_a_cache_is_written(written_out: Any, mode: str) -> None:
    first = np.array([1, 3]) if mode == "circular" else np.array([0, 2])
    feeds = {"c": normal(2, 3, 5, 4), "u": normal(2, 3, 3, 4), "i": first}
    node = ("TensorScatter", "c u i", "y", {"mode": mode})
    written_out(node, feeds=feeds, without="TensorScatter", opset=24)


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("skips", [0, 2, 9])
def test_counts_of_terms(written_out: Any, mode: str, skips: int) -> None:
    attributes = {
        "mode": mode,
        "min_gram_length": 1,
        "max_gram_length": 2,
        "max_skip_count": skips,
        "ngram_counts": [0, 3],
        "ngram_indexes": [3, 0, 1, 2, 4],
        "pool_int64s": [2, 3, 4, 5, 6, 2, 2],
        "weights": [0.5, 2.0, 1.0, 3.0, 0.25],
    }
    feeds = {"x": integers(2, 7, (3, 8))}
    written_out(("TfIdfVectorizer", "x", "y", attributes), feeds=feeds, without="TfIdfVectorizer")


SPECIAL = np.array([0, -0.0, 1, -3, np.inf, -np.inf, np.nan], np.float32)


@pytest.mark.parametrize("signs", [(1, 0), (0, 1), (0, 0)])
def test_infinities_of_a_sign(written_out: Any, signs: tuple[int, int]) -> None:
    attributes = {"detect_positive": signs[0], "detect_negative": signs[1]}
    written_out(("IsInf", "x", "y", attributes), feeds={"x": SPECIAL}, without="IsInf")


@pytest.mark.parametrize(
    ("base", "exponent"),
    [("float32", "int64"), ("float32", "float64"), ("int64", "float32"), ("int32", "int64")],
)
def test_powers_of_mixed_types(written_out: Any, base: str, exponent: str) -> None:
    feeds = {"x": np.array([1, 2, 5, 9], base), "p": np.array([2, 0, 3, 1], exponent)}
    written_out(("Pow", "x p", "y"), feeds=feeds, without="none")


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_powers_of_integers(written_out: Any, dtype: str) -> None:
    pairs = [(2, 10), (-3, 5), (0, 0), (7, 0), (1, 99), (-1, 101), (-1, -3), (5, -1), (-2, 31), (10, 9), (0, 3)]
    base, exponent = np.array(pairs, dtype).T.copy()
    written_out(("Pow", "x p", "y"), feeds={"x": base, "p": exponent}, without="Pow")


@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        {"kernel_shape": [3, 2], "pads": [1, 1, 1, 0]},
        {"kernel_shape": [3, 3], "dilations": [2, 1], "storage_order": 1},
        {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER", "strides": [2, 1]},
    ],
    ids=str,
)
def test_places_of_maxima(written_out: Any, attributes: dict[str, Any]) -> None:
    data = normal(2, 3, 7, 6)
    data[0, 0, :4] = data[0, 0, 0, 0]  # ties
    written_out(("MaxPool", "x", "y i", attributes), feeds={"x": data}, without="none", outputs="y i")


def test_places_of_maxima_of_lines(written_out: Any) -> None:
    attributes = {"kernel_shape": [3], "pads": [1, 0]}
    written_out(("MaxPool", "x", "y i", attributes), feeds={"x": normal(2, 3, 9)}, without="none", outputs="y i")


def test_a_matrix_like_another(written_out: Any) -> None:
    attributes = {"dtype": onnx.TensorProto.INT32, "k": -1}
    feeds = {"x": normal(4, 6)}
    assert written_out(("EyeLike", "x", "y", attributes), feeds=feeds, without="EyeLike") == []


@pytest.mark.parametrize("outputs", ["y", "y m"])
@pytest.mark.parametrize("training", [False, True])
def test_nothing_is_dropped(written_out: Any, outputs: str, training: bool) -> None:
    constants = {"r": np.float32(0 if training else 0.5), "t": np.array(training)}
    node = ("Dropout", "x r t", outputs)
    written_out(node, feeds={"x": normal(2, 5)}, without="Dropout", outputs=outputs, **constants)


def test_parts_without_elements(written_out: Any) -> None:
    node = ("Split", "x s", "a b c", {"axis": -1})
    written_out(node, feeds={"x": normal(2, 5)}, without="Split", outputs="a b c", s=np.array([0, 3, 2]))
