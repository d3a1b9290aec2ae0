"""NaN, infinities, zeros of both signs, the smallest and largest numbers: as numpy and onnxruntime have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.pipeline.values.compiled import Compiled
from tvmopt.pipeline.support.onnxruntime import run_model

LAST = np.finfo(np.float32).max
NAN, INF = np.nan, np.inf
# 37 numbers: whole vectors and a tail.
VALUES = np.array(
    [
        *(NAN, INF, -INF, 0.0, -0.0, 1e-30, -1e-30, 1e-8, -1e-8, 1e-3, -1e-3, 0.5, -0.5, 1, -1, 1.5, 2.5, -2.5, 3),
        *(-7, 10, -10, 17, -17, 20, -20, 60, -60, 85, -85, 100, -100, 1e10, -1e10, LAST, -LAST, 3.401e38),
    ],
    np.float32,
)
FINITE = np.abs(VALUES) < 80


def check(model: Any, inputs: dict[str, np.ndarray], expected: dict[str, np.ndarray] | None = None) -> None:
    """Every element: relative errors of a few roundings, NaN and infinities at the same places."""
    made = Compiled(model).run(inputs)
    wanted = {**run_model(model, inputs), **(expected or {})}
    for name, result in zip((output.name for output in model.graph.output), made, strict=True):
        np.testing.assert_allclose(result, wanted[name], rtol=2e-5, atol=1e-35, err_msg=name)
        assert result.dtype == wanted[name].dtype


UNARY: tuple[tuple[Any, ...], ...] = (
    *((kind,) for kind in ("Relu", "Erf", "Exp", "Log", "Sqrt", "Neg", "Abs", "Reciprocal", "Floor", "Ceil", "Round")),
    *((kind,) for kind in ("Tanh", "Softplus", "Softsign", "HardSwish", "Sign", "Clip", "LeakyRelu", "Elu", "Selu")),
    *((kind,) for kind in ("HardSigmoid", "ThresholdedRelu", "Atanh", "Asinh", "Atan", "IsNaN", "IsInf")),
    ("ThresholdedRelu", {"alpha": -2.0}),
)


def test_functions_of_one_operand(onnx_model: Any) -> None:
    nodes = [(node[0], "x", f"y{i}_{node[0]}", *node[1:]) for i, node in enumerate(UNARY)]
    outputs = " ".join(node[2] for node in nodes)
    check(onnx_model(*nodes, inputs={"x": VALUES.shape}, outputs=outputs, opset=20), {"x": VALUES})


def test_functions_that_onnxruntime_computes_with_an_absolute_error(onnx_model: Any) -> None:
    model = onnx_model(
        ("Sigmoid", "x", "s"),
        *(("Softplus", "x", "p"), ("Reciprocal", "p", "r"), ("Log", "p", "l")),
        ("Gelu", "x", "g", {"approximate": "tanh"}),
        ("Mish", "x", "m"),
        inputs={"x": (int(FINITE.sum()),)},
        outputs="s p r l g m",
        opset=20,
    )
    x = VALUES[FINITE]
    wide = x.astype(np.float64)
    softplus = np.logaddexp(wide, 0)
    inner = 2 * np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)
    expected = {
        "s": 1 / (1 + np.exp(-wide)),
        "p": softplus,
        "r": 1 / softplus,
        "l": np.log(softplus),
        "g": wide / (1 + np.exp(-np.maximum(inner, -85))),
        "m": wide * np.tanh(softplus),
    }
    check(model, {"x": x}, {name: array.astype(np.float32) for name, array in expected.items()})


def test_functions_of_two_operands(onnx_model: Any) -> None:
    kinds = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "PRelu", "Less", "Equal")
    nodes = [(kind, "a b", f"y_{kind}") for kind in kinds] + [("Max", "a b c", "y_three")]
    outputs = " ".join(node[2] for node in nodes)
    a = np.repeat(VALUES[:, None], len(VALUES), 1)
    shapes = dict.fromkeys("abc", a.shape)
    check(onnx_model(*nodes, inputs=shapes, outputs=outputs), {"a": a, "b": a.T.copy(), "c": a[::-1].copy()})


def test_numbers_as_operands(onnx_model: Any) -> None:
    numbers = (0.0, -0.0, 1.0, 2.0, 0.5, -0.5, INF, -INF, NAN)
    constants = {f"c{i}": np.float32(number) for i, number in enumerate(numbers)}
    nodes = [
        (kind, f"x {name}", f"{kind}{name}")
        for name in constants
        for kind in ("Add", "Mul", "Div", "Max", "Min", "Pow")
    ]
    nodes += [("Sub", f"{name} x", f"Sub{name}") for name in constants]
    nodes += [(kind, "x x", f"{kind}_twice") for kind in ("Sub", "Div")]
    outputs = " ".join(node[2] for node in nodes)
    check(onnx_model(*nodes, inputs={"x": VALUES.shape}, outputs=outputs, **constants), {"x": VALUES})


@pytest.mark.parametrize("bounds", [(), (0, None), (None, 6), (-1, 2), (3, 2), (-INF, INF)])
@pytest.mark.parametrize("given", ["constants", "inputs"])
def test_clip(onnx_model: Any, bounds: tuple[float | None, ...], given: str) -> None:
    named = {name: np.float32(bound) for name, bound in zip("lh", bounds, strict=False) if bound is not None}
    taken = " ".join(["x", *(name if name in named else "." for name in "lh"[: len(bounds)])])
    inputs, constants = {"x": VALUES}, dict(named)
    if given == "inputs":
        inputs, constants = {**inputs, **{name: np.asarray(bound) for name, bound in named.items()}}, {}
    shapes = {name: array.shape for name, array in inputs.items()}
    check(onnx_model(("Clip", taken, "y"), inputs=shapes, outputs="y", **constants), inputs)


def test_the_sign_of_zero(onnx_model: Any) -> None:
    x = np.array([0.0, -0.0, 1.0, -1.0], np.float32)
    model = onnx_model(("Neg", "x", "n"), ("Reciprocal", "n", "y"), inputs={"x": (4,)}, outputs="y")
    np.testing.assert_array_equal(Compiled(model).run({"x": x})[0], [-INF, INF, -1, 1])


ROWS = np.array(
    [
        *([NAN, *range(1, 19)], [1, NAN] + [2] * 17, [1] * 18 + [NAN], [NAN] * 19, [3, NAN, INF, -INF] + [4] * 15),
        *([INF, -INF] + [0] * 17, [-INF] + [1] * 18, [1] * 18 + [INF], [-INF] * 19, [INF] * 19),
        *([LAST] * 19, [-LAST] * 19, [0.0, -0.0] * 9 + [0.0], [5, 5, 1, 5] * 4 + [-5] * 3, [-1, -5, -1] * 6 + [-2]),
    ],
    np.float32,
)


@pytest.mark.parametrize("axis", [0, 1])
def test_reductions(onnx_model: Any, axis: int) -> None:
    x = ROWS if axis else ROWS.T.copy()
    nodes = [(f"Reduce{kind}", "x a", kind, {"keepdims": 0}) for kind in ("Max", "Min", "Sum", "LogSumExp")]
    places = [("ArgMax", "x", "amax", {"axis": axis}), ("ArgMin", "x", "amin", {"axis": axis})]
    outputs = "Max Min Sum LogSumExp amax amin"
    model = onnx_model(*nodes, *places, inputs={"x": x.shape}, outputs=outputs, a=np.array([axis]))
    # Where there is NaN, onnxruntime's results depend on its place.
    by_numpy = {"Max": x.max(axis), "Min": x.min(axis)}
    index = {"amax": x.argmax(axis), "amin": x.argmin(axis)}
    check(model, {"x": x}, {**by_numpy, **{name: np.expand_dims(array, axis) for name, array in index.items()}})


def test_the_maximum_of_maps_keeps_nan_and_that_of_windows_ignores_it(onnx_model: Any) -> None:
    x = np.arange(50, dtype=np.float32).reshape(1, 2, 5, 5)
    x[0, 0, 1, 1] = NAN
    model = onnx_model(
        ("ReduceMax", "x a", "m"),
        ("MaxPool", "x", "p", {"kernel_shape": [2, 2]}),
        inputs={"x": x.shape},
        outputs="m p",
        a=np.array([2, 3]),
    )
    maps, windows = Compiled(model).run({"x": x})
    np.testing.assert_array_equal(maps.reshape(-1), [NAN, 49])
    np.testing.assert_array_equal(windows, run_model(model, {"x": np.nan_to_num(x, nan=-INF)})["p"])


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_keep_nan(onnx_model: Any, dtype: str) -> None:
    a = np.array([NAN, 1, INF, -INF, -0.5, 0, 3, NAN], dtype)
    b = np.array([2, NAN, 1, INF, -0.5, -1, 4, NAN], dtype)
    kinds = ("Max", "Min")
    nodes = [*((kind, "a b", kind) for kind in kinds), ("Relu", "a", "r"), ("Clip", "a", "c"), ("Clip", "a l", "k")]
    model = onnx_model(
        *nodes, inputs={"a": (dtype, 8), "b": (dtype, 8)}, outputs="Max Min r c k", l=np.array(-0.25, dtype)
    )
    last = np.finfo(dtype).max
    expected = (np.maximum(a, b), np.minimum(a, b), np.maximum(a, 0), np.clip(a, -last, last), np.clip(a, -0.25, last))
    for made, wanted in zip(Compiled(model).run({"a": a, "b": b}), expected, strict=True):
        np.testing.assert_array_equal(made, wanted.astype(dtype))
        assert str(made.dtype) == dtype


def test_means_of_integers_round_towards_zero(onnx_model: Any) -> None:
    for opset in (13, 18):
        axes = ({"axes": [1]}, {}) if opset == 13 else ({}, {"a": np.array([1])})
        node = ("ReduceMean", "x a" if opset == 18 else "x", "y", {"keepdims": 0, **axes[0]})
        x = np.array([[1, 2, 4], [-1, -2, -4], [7, 7, 7]], np.int32)
        model = onnx_model(node, inputs={"x": ("int32", 3, 3)}, outputs="y", opset=opset, **axes[1])
        np.testing.assert_array_equal(Compiled(model).run({"x": x})[0], np.array([2, -2, 7], np.int32))


def test_tanh_of_the_smallest_numbers_is_the_number(onnx_model: Any) -> None:
    """The upper polynomial of its quotient is small: a product with it must not be too small for a float32."""
    x = np.array([1.2e-38, -1.5e-36, 2e-36, -1e-30, 1e-20] * 7, np.float32)
    model = onnx_model(("Tanh", "x", "y"), inputs={"x": x.shape}, outputs="y")
    np.testing.assert_allclose(Compiled(model).run({"x": x})[0], x, rtol=1e-6, atol=0)


def test_comparisons_of_booleans(onnx_model: Any) -> None:
    a, b = np.array([True, True, False, False]), np.array([True, False, True, False])
    nodes = [(kind, "a b", kind) for kind in ("And", "Or", "Xor", "Equal")]
    nodes += [("Cast", "a", "f", {"to": 1}), ("Equal", "a t", "s")]
    outputs = "And Or Xor Equal f s"
    inputs = {"a": a, "b": b}
    model = onnx_model(*nodes, inputs=dict.fromkeys(inputs, ("bool", 4)), outputs=outputs, t=np.array([False]))
    expected = run_model(model, inputs)
    for name, made in zip(outputs.split(), Compiled(model).run(inputs), strict=True):
        np.testing.assert_array_equal(made, expected[name], err_msg=name)


@pytest.mark.parametrize("channels", [1, 3])
def test_maps_of_one_element_change_their_layout(onnx_model: Any, channels: int) -> None:
    model = onnx_model(
        ("ReduceMean", "x a", "p"),
        ("Resize", "p . s", "y", {"mode": "nearest"}),
        ("MaxPool", "p", "m", {"kernel_shape": [1, 1], "strides": [2, 2]}),
        inputs={"x": (1, channels, 6, 6)},
        outputs="y m",
        a=np.array([1, 2, 3] if channels > 1 else [2, 3]),
        s=np.array([1, 1, 4, 4], np.float32),
    )
    check(model, {"x": np.random.default_rng(0).standard_normal((1, channels, 6, 6)).astype(np.float32)})
