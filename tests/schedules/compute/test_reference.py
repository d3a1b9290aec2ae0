from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.importers.onnx_form.rewrites.resize_tables import AxisResize, tables
from tvmopt.schedules.compute.functions import ARITY, CASTS, ONE_BY_ONE, TRUTHS
from tvmopt.schedules.compute.reference import evaluate, reference
from tvmopt.schedules.expression import ACC, Arg, Const, Expr, call
from tvmopt.schedules.workload import Attr, Tensor, Workload

Weights = Callable[..., np.ndarray]


def workload(
    op: str, arrays: Sequence[np.ndarray], output: tuple[int, ...], epilogue: Expr = ACC, **attrs: Attr
) -> Workload:
    inputs = tuple(Tensor(array.shape, str(array.dtype)) for array in arrays)
    return Workload(op, inputs, Tensor(output), tuple(sorted(attrs.items())), epilogue)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(("kernel", "pads"), [((1, 1), (0, 0)), ((3, 3), (1, 1)), ((2, 5), (1, 2))])
@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
@pytest.mark.parametrize("dilations", [(1, 1), (2, 1)])
def test_convolution(weights: Weights, groups: int, kernel: Any, pads: Any, strides: Any, dilations: Any) -> None:
    import torch

    data, weight, bias = weights(2, 4, 9, 11), weights(8, 4 // groups, *kernel), weights(8)
    exact = torch.nn.functional.conv2d(
        *(torch.from_numpy(x) for x in (data, weight, bias)),
        stride=strides,
        padding=pads,
        dilation=dilations,
        groups=groups,
    ).numpy()
    arrays = [data, weight, bias.reshape(1, -1, 1, 1)]
    attrs: dict[str, Attr] = {"strides": strides, "dilations": dilations, "pads": pads * 2, "groups": groups}
    given = workload("conv2d", arrays, exact.shape, call("add", ACC, Arg(2)), **attrs)
    np.testing.assert_allclose(reference(given, arrays), exact, rtol=1e-4, atol=1e-5)


def test_depthwise_convolution_with_uneven_pads(weights: Weights) -> None:
    import torch

    data, weight = weights(2, 5, 9, 11), weights(5, 1, 3, 3)
    padded = torch.nn.functional.pad(torch.from_numpy(data), (2, 0, 0, 1))
    exact = torch.nn.functional.conv2d(padded, torch.from_numpy(weight), groups=5).numpy()
    attrs: dict[str, Attr] = {"strides": (1, 1), "dilations": (1, 1), "pads": (0, 2, 1, 0), "groups": 5}
    given = workload("depthwise_conv2d", [data, weight], exact.shape, **attrs)
    np.testing.assert_allclose(reference(given, [data, weight]), exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strides", [(1, 1), (2, 1)])
def test_depthwise_convolution_with_a_product_behind(weights: Weights, strides: tuple[int, int]) -> None:
    import torch

    data, depthwise, pointwise, inner, outer = weights(2, 5, 9, 11), weights(5, 1, 3, 3), weights(7, 5), *weights(2, 5)
    image, *kernels = (torch.from_numpy(x) for x in (data, depthwise, pointwise.reshape(7, 5, 1, 1)))
    middle = torch.nn.functional.conv2d(image, kernels[0], torch.from_numpy(inner), strides, 1, groups=5)
    exact = torch.nn.functional.conv2d(torch.relu(middle), kernels[1], torch.from_numpy(np.resize(outer, 7)))
    arrays = [data, depthwise, kernels[1].numpy(), inner.reshape(1, -1, 1, 1), np.resize(outer, (1, 7, 1, 1))]
    attrs: dict[str, Attr] = {"strides": strides, "dilations": (1, 1), "pads": (1, 1, 1, 1), "groups": 5}
    given = workload("separable_conv2d", arrays, tuple(exact.shape), call("add", ACC, Arg(4)), **attrs)
    given = replace(given, inner=call("relu", call("add", ACC, Arg(3))))
    np.testing.assert_allclose(reference(given, arrays), exact.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["max", "average", "counting"])
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(
    ("kernel", "strides", "pads"), [((2, 2), (2, 2), (0, 0)), ((3, 3), (2, 2), (1, 1)), ((3, 4), (1, 3), (1, 2))]
)
def test_pooling(weights: Weights, kind: str, ceil: bool, kernel: Any, strides: Any, pads: Any) -> None:
    import torch

    data = weights(2, 3, 10, 11)
    if kind == "max":
        made = torch.nn.functional.max_pool2d(torch.from_numpy(data), kernel, strides, pads, ceil_mode=ceil)
    else:
        made = torch.nn.functional.avg_pool2d(torch.from_numpy(data), kernel, strides, pads, ceil, kind == "counting")
    attrs: dict[str, Attr] = {
        "kind": "max" if kind == "max" else "average",
        "kernel": kernel,
        "strides": strides,
        "pads": pads * 2,
        "count_pads": int(kind == "counting"),
    }
    given = workload("pool2d", [data], tuple(made.shape), **attrs)
    np.testing.assert_allclose(reference(given, [data]), made.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("left", "right"), [((1, 3, 7), (7, 5)), ((4, 3, 7), (4, 7, 5))])
def test_matrix_products(weights: Weights, left: Any, right: Any) -> None:
    import torch

    arrays = [weights(*left), weights(*right), weights(1, 1, 5)]
    exact = torch.relu(torch.from_numpy(arrays[0]) @ torch.from_numpy(arrays[1]) + torch.from_numpy(arrays[2])).numpy()
    given = workload("dense", arrays, exact.shape, call("relu", call("add", ACC, Arg(2))), packed=1)
    np.testing.assert_allclose(reference(given, arrays), exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_softmax_and_reductions(weights: Weights, axis: int) -> None:
    import torch

    data = 10 * weights(4, 6, 5)
    view = np.moveaxis(data, axis, 1)
    one = workload("softmax", [view], view.shape)
    exact = torch.softmax(torch.from_numpy(view), 1).numpy()
    np.testing.assert_allclose(reference(one, [view]), exact, rtol=1e-5, atol=1e-7)
    for kind, function in (("sum", np.sum), ("mean", np.mean), ("max", np.max), ("min", np.min)):
        made = reference(workload("reduce", [view], (view.shape[0], 1, view.shape[2]), kind=kind), [view])
        np.testing.assert_allclose(made[:, 0], function(view.astype(np.float64), axis=1), rtol=1e-5, atol=1e-5)


def test_movement(weights: Weights) -> None:
    parts = [weights(2, 3, 4, 5), weights(2, 1, 4, 5)]
    made = reference(workload("concat", parts, (2, 4, 4, 5)), parts)
    assert np.array_equal(made, np.concatenate(parts, axis=1))
    assert np.array_equal(reference(workload("relayout", parts[:1], parts[0].shape), parts[:1]), parts[0])


@pytest.mark.parametrize(
    ("mode", "values"),
    [
        ("nearest", {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
        ("bilinear", {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}),
        ("bicubic", {"mode": "cubic", "coordinate_transformation_mode": "half_pixel"}),
    ],
)
@pytest.mark.parametrize("size", [(8, 6), (3, 9), (4, 5)])
def test_resizing(weights: Weights, mode: str, values: dict[str, Any], size: tuple[int, int]) -> None:
    import torch

    data = weights(2, 3, 4, 5)
    made = torch.nn.functional.interpolate(
        torch.from_numpy(data), size, mode=mode, **({} if mode == "nearest" else {"align_corners": False})
    )
    arrays = [data]
    for before, after in zip(data.shape[2:], size, strict=True):
        table = tables(values, "Resize", AxisResize(before, after, after / before))
        assert table is not None
        taps = table[0].shape[1]
        arrays += [table[0].ravel(), table[1].ravel()]
    given = workload("resize2d", arrays, tuple(made.shape), taps=taps)
    np.testing.assert_allclose(reference(given, arrays), made.numpy(), rtol=1e-4, atol=1e-5)


def functions() -> dict[str, Callable[..., Any]]:
    """Each element-wise function in PyTorch."""
    import torch
    from torch.nn import functional

    return {
        **{name: getattr(torch, name) for name in ("add", "sub", "mul", "div", "neg", "abs", "sqrt", "reciprocal")},
        **{name: getattr(torch, name) for name in ("floor", "ceil", "exp", "log", "relu", "sigmoid", "tanh", "erf")},
        "max": torch.maximum,
        "min": torch.minimum,
        "sign": torch.sign,
        "atanh": torch.atanh,
        "square_root_power": lambda x: torch.pow(x, 0.5),
        "thresholded_relu": lambda x, alpha: torch.threshold(x, 0.25, 0),
        "rank": lambda x: x,
        "silu": functional.silu,
        "softplus": functional.softplus,
        "hard_swish": functional.hardswish,
        "leaky_relu": lambda x, slope: torch.where(x < 0, x * slope, x),
        "elu": lambda x, alpha: torch.where(x < 0, alpha * torch.expm1(x), x),
        "hard_sigmoid": lambda x, alpha, beta: torch.clip(alpha * x + beta, 0, 1),
        "clip": lambda x, low, high: torch.minimum(torch.maximum(x, low), high),
        "power": torch.pow,
        "integer_power": torch.pow,
        "if_greater": lambda x, bound, then, otherwise: torch.where(x > bound, then, otherwise),
        "select": lambda condition, x, y: torch.where(condition.bool(), x, y),
        **{name: getattr(torch, name) for name in ("round", "sin", "cos", "tan", "asin", "acos", "atan")},
        **{name: getattr(torch, name) for name in ("sinh", "cosh", "asinh", "acosh")},
    }


# The tests of typed kernels and of quantised values have those of other types than float32.
@pytest.mark.parametrize(
    "name", sorted(ARITY.keys() - TRUTHS - ONE_BY_ONE - CASTS.keys() - {"where", "quantize", "dequantize", "table"})
)
def test_elementwise_functions(weights: Weights, name: str) -> None:
    import torch

    arrays = [3 * weights(40), *(np.full(40, value, np.float32) for value in (0.25, 0.75, -2.0))][: ARITY[name]]
    if name == "select":
        arrays[0][::3] = 0
    if name == "integer_power":
        arrays[1][:] = 3
    if name in ("log", "sqrt", "square_root_power", "power"):
        arrays[0] = np.abs(arrays[0])
    if name in ("atanh", "asin", "acos"):
        arrays[0] = np.clip(arrays[0], -0.9, 0.9)
    if name == "acosh":
        arrays[0] = 1 + np.abs(arrays[0])
    exact = functions()[name](*(torch.from_numpy(array) for array in arrays)).numpy()
    expr = call(name, *(Arg(i) for i in range(ARITY[name])))
    made = reference(workload("pointwise", arrays, (40,), expr), arrays)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, exact, rtol=1e-5, atol=1e-6)


def test_expressions_broadcast(weights: Weights) -> None:
    arrays = [weights(2, 3, 1), weights(4)]
    expr: Expr = call("add", call("mul", Arg(0), Const(2.0)), Arg(1))
    made = reference(workload("pointwise", arrays, (2, 3, 4), expr), arrays)
    for i, j, k in itertools.product(range(2), range(3), range(4)):
        assert made[i, j, k] == pytest.approx(2 * arrays[0][i, j, 0] + arrays[1][k], rel=1e-6)
    constant = reference(workload("pointwise", [], (2, 3), Const(1.5)), [])
    assert np.array_equal(constant, np.full((2, 3), 1.5, np.float32))


def test_an_accumulator_is_what_the_operator_computed() -> None:
    accumulated = np.arange(3, dtype=np.float32)
    assert np.array_equal(evaluate(call("sub", ACC, Arg(0)), accumulated, [np.ones(3, np.float32)]), [-1, 0, 1])


def test_unknown_operators_are_refused() -> None:
    with pytest.raises(ValueError, match="no reference for operator 'fourier'"):
        reference(Workload("fourier", (), Tensor((1,))), [])


def test_products_of_bytes_are_summed_in_int32_and_rounded_once() -> None:
    """As in a quantised convolution: scale and zero point after the sums, then rounding and saturation."""
    random = np.random.default_rng(0)
    data = random.integers(0, 256, (1, 9, 5, 5)).astype(np.uint8)
    weight = random.integers(-128, 128, (7, 9, 3, 3)).astype(np.int8)
    scale = random.uniform(1e-3, 4e-3, (1, 7, 1, 1)).astype(np.float32)
    epilogue = call("add", call("mul", ACC, Arg(2)), Const(128.0))
    attrs = (("dilations", (1, 1)), ("groups", 1), ("pads", (0, 0, 0, 0)), ("strides", (1, 1)))
    tensors = (Tensor(data.shape, "uint8"), Tensor(weight.shape, "int8"), Tensor(scale.shape))
    given = Workload("conv2d", tensors, Tensor((1, 7, 3, 3), "uint8"), attrs, epilogue)
    windows = np.lib.stride_tricks.sliding_window_view(data, (3, 3), axis=(2, 3))
    exact = np.einsum("nchwij,ocij->nohw", windows.astype(np.int64), weight.astype(np.int64))
    expected = np.clip(np.rint(exact.astype(np.float32) * scale + np.float32(128)), 0, 255)
    result = reference(given, [data, weight, scale])
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, expected)
    assert {0, 255} < set(result.ravel().tolist())
