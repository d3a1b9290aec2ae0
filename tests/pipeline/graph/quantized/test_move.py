"""Operators that move quantised values or choose among them, and averages, between convolutions of integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.pipeline.graph.quantized.passing import check, passed
from tests.quantised import Network
from tvmopt.pipeline.graph.ir import Graph
from tvmopt.schedules.expression import functions_of

SIZE = 8

Evaluate = Any


def floats(graph: Graph) -> list[str]:
    """The kinds of the nodes that make floats before the last convolutions."""
    made = [node.kind for node in graph.nodes if graph.tensor(node.output).dtype == "float32"]
    return [kind for kind in made if kind not in ("integer_conv2d", "relayout")]


MOVES: dict[str, tuple[tuple[Any, ...], tuple[int, ...], dict[str, np.ndarray]]] = {
    "Transpose": (("Transpose", "{x}", "m", {"perm": [0, 1, 3, 2]}), (32, SIZE, SIZE), {}),
    "Reshape": (("Reshape", "{x} s", "m", {}), (32, 4, 16), {"s": np.array([1, 32, 4, 16])}),
    "Slice": (
        ("Slice", "{x} b e a", "m", {}),
        (16, SIZE, SIZE),
        {"b": np.array([16]), "e": np.array([32]), "a": np.array([1])},
    ),
    "odd Slice": (
        ("Slice", "{x} b e a", "m", {}),
        (19, SIZE, SIZE),
        {"b": np.array([3]), "e": np.array([22]), "a": np.array([1])},
    ),
    "Pad": (("Pad", "{x} p", "m", {}), (32, 10, 9), {"p": np.array([0, 0, 1, 0, 0, 0, 1, 1])}),
    "reflected Pad": (
        ("Pad", "{x} p", "m", {"mode": "reflect"}),
        (32, 10, 9),
        {"p": np.array([0, 0, 1, 0, 0, 0, 1, 1])},
    ),
    "Resize": (
        (
            "Resize",
            "{x} roi f",
            "m",
            {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        ),
        (32, 16, 16),
        {"roi": np.zeros(0, np.float32), "f": np.array([1, 1, 2, 2], np.float32)},
    ),
    "DepthToSpace": (("DepthToSpace", "{x}", "m", {"blocksize": 2}), (8, 16, 16), {}),
    "SpaceToDepth": (("SpaceToDepth", "{x}", "m", {"blocksize": 2}), (128, 4, 4), {}),
    "Tile": (("Tile", "{x} r", "m", {}), (32, SIZE, 16), {"r": np.array([1, 1, 1, 2])}),
    "MaxPool": (("MaxPool", "{x}", "m", {"kernel_shape": [2, 2], "strides": [2, 2]}), (32, 4, 4), {}),
    "AveragePool": (
        ("AveragePool", "{x}", "m", {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [2, 2]}),
        (32, 4, 4),
        {},
    ),
    "linear Resize": (
        ("Resize", "{x} roi f", "m", {"mode": "linear"}),
        (32, 16, 16),
        {"roi": np.zeros(0, np.float32), "f": np.array([1, 1, 2, 2], np.float32)},
    ),
}


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("dialect", ["around", "before only", "behind only"])
def test_between_convolutions(name: str, dialect: str, evaluated: Evaluate) -> None:
    """onnxruntime's quantiser puts scales on both sides; NNCF's on one."""
    (kind, taken, made, attributes), shape, constants = MOVES[name]
    net = Network()
    y = net.convolution(net.quantised("x", 0.03, 128), (16, 32), "y")
    y = y if dialect == "behind only" else net.quantised(y, 0.02, 100)
    net.constants |= constants
    net.add(kind, taken.format(x=y), made, **attributes)
    # Of interpolations, many would be halfway between two integers of the same scale.
    behind = 0.01873 if name == "linear Resize" else 0.02
    moved = made if dialect == "before only" else net.quantised(made, behind, 100)
    net.convolution(moved, (shape[0], 16), "z", kernel=1)
    model = net.model((1, 16, SIZE, SIZE), "z")
    graph = passed(model)
    kinds = [node.kind for node in graph.nodes]
    average = name in ("AveragePool", "linear Resize")
    if not (average and dialect != "around"):
        assert not floats(graph), kinds
        assert kinds.count("integer_conv2d") == 2
    check(graph, model, evaluated, 0.01)


def test_scales_by_channel_are_not_taken_across_what_moves_channels(evaluated: Evaluate) -> None:
    net = Network()
    net.constants |= {"order": np.arange(16)[::-1].copy(), "s": np.geomspace(0.002, 0.03, 16).astype(np.float32)}
    net.constants["z"] = np.full(16, 128, np.uint8)
    net.add("MaxPool", "x", "m", kernel_shape=[2, 2])
    net.add("Gather", "m order", "g", axis=1)
    net.add("QuantizeLinear", "g s z", "q", axis=1)
    net.add("DequantizeLinear", "q s z", "d", axis=1)
    net.convolution("d", (16, 16), "y", groups=16)
    model = net.model((1, 16, SIZE, SIZE), "y")
    check(passed(model), model, evaluated, 1e-4)


@pytest.mark.parametrize("kind", ["MaxPool", "GlobalMaxPool"])
def test_volumes_are_floats_where_kernels_know_no_integers(kind: str, evaluated: Evaluate) -> None:
    net = Network()
    attributes = {"kernel_shape": [2, 2, 2]} if kind == "MaxPool" else {}
    y = net.quantised(net.add(kind, net.quantised("x", 0.03, 128), "m", **attributes), 0.03, 128)
    model = net.model((1, 16, 3, 4, 5), y)
    graph = passed(model)
    for node in graph.nodes:
        if node.op == "reshape":
            assert graph.tensor(node.inputs[0]).dtype == graph.tensor(node.output).dtype
    check(graph, model, evaluated, 1e-4)


def test_zeros_are_folded_into_a_convolution_of_integers(evaluated: Evaluate) -> None:
    net = Network()
    net.constants["p"] = np.array([0, 0, 0, 1, 0, 0, 1, 1])
    x = net.add("Pad", f"{net.quantised('x', 0.03, 100)} p", "m")
    net.convolution(x, (16, 16), "y", pads=[1, 0, 0, 0], strides=[2, 2])
    model = net.model((1, 16, SIZE, SIZE), "y")
    graph = passed(model)
    assert "Pad" not in [node.kind for node in graph.nodes]
    assert "pad" not in [node.kind for node in graph.nodes]
    check(graph, model, evaluated, 1e-4)


@pytest.mark.parametrize("scales", ["alike", "of the result", "of none"])
@pytest.mark.parametrize("channels", [16, 12])
def test_joined_maps_get_one_scale(scales: str, channels: int, evaluated: Evaluate) -> None:
    net = Network()
    x = net.quantised("x", 0.03, 128)
    parts = []
    for place, scale in enumerate((0.02, 0.02 if scales == "alike" else 0.03)):
        part = net.add("Relu", net.convolution(x, (16, channels), f"a{place}", kernel=1), f"r{place}")
        parts.append(net.quantised(part, scale, 0))
    y = net.add("Concat", " ".join(parts), "c", axis=1)
    y = y if scales == "of none" else net.quantised(y, 0.02 if scales == "alike" else 0.031, 0)
    net.convolution(y, (2 * channels, 16), "z")
    model = net.model((1, 16, SIZE, SIZE), "z")
    graph = passed(model)
    kinds = [node.kind for node in graph.nodes if node.kind != "relayout"]
    if scales != "of none":
        join = "concat" if channels == 16 else "channels"
        assert kinds == ["pointwise", "integer_conv2d", "integer_conv2d", join, "integer_conv2d"]
        assert not floats(graph)
    check(graph, model, evaluated, 0.01)


def test_channels_are_shuffled_as_bytes(evaluated: Evaluate) -> None:
    net = Network()
    y = net.quantised(net.convolution(net.quantised("x", 0.03, 128), (16, 40), "y"), 0.02, 100)
    net.constants |= {"apart": np.array([1, 2, 20, SIZE, SIZE]), "back": np.array([1, 40, SIZE, SIZE])}
    y = net.quantised(net.add("Reshape", f"{y} apart", "r"), 0.02, 100)
    y = net.quantised(net.add("Transpose", y, "t", perm=[0, 2, 1, 3, 4]), 0.02, 100)
    y = net.quantised(net.add("Reshape", f"{y} back", "b"), 0.02, 100)
    net.constants["sizes"] = np.array([16, 24])
    net.add("Split", f"{y} sizes", "p q", axis=1)
    net.convolution(net.quantised("p", 0.02, 100), (16, 16), "z")
    net.convolution(net.quantised("q", 0.02, 100), (24, 16), "w")
    model = net.model((1, 16, SIZE, SIZE), "z w")
    graph = passed(model)
    kinds = [node.kind for node in graph.nodes]
    assert kinds.count("channels") == 2
    assert "copy" not in kinds
    assert not floats(graph)
    check(graph, model, evaluated, 0.01)


@pytest.mark.parametrize("kind", ["GlobalAveragePool", "ReduceMean", "ReduceMean without axes kept"])
@pytest.mark.parametrize("behind", [True, False])
def test_means_of_maps(kind: str, behind: bool, evaluated: Evaluate) -> None:
    net = Network()
    x = net.quantised("x", 0.03, -30, np.int8)
    net.constants["a"] = np.array([2, 3])
    y = (
        net.add(kind, x, "m")
        if kind == "GlobalAveragePool"
        else net.add("ReduceMean", f"{x} a", "m", keepdims=int(kind == "ReduceMean"))
    )
    if behind:
        net.quantised(y, 0.004123, -5, np.int8)
    model = net.model((2, 19, 7, 5), "m_dq" if behind else "m")
    graph = passed(model)
    (pool,) = [node for node in graph.nodes if node.kind == "pool2d"]
    assert graph.tensor(pool.inputs[0]).dtype == "uint8"
    assert ("quantize" in functions_of(pool.epilogue)) == behind
    check(graph, model, evaluated, 0.004123 if behind else 1e-5)


def test_an_average_counts_what_is_beyond_the_map_as_the_model_does(evaluated: Evaluate) -> None:
    for count in (0, 1):
        net = Network()
        options: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 0, 1, 1], "strides": [2, 2]}
        net.add("AveragePool", net.quantised("x", 0.03, 200), "m", count_include_pad=count, **options)
        model = net.model((1, 16, 7, 9), "m")
        check(passed(model), model, evaluated, 1e-5)


def test_a_padding_with_another_number_stays_a_float(evaluated: Evaluate) -> None:
    net = Network()
    net.constants |= {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "v": np.float32(0.5)}
    y = net.add("Pad", f"{net.quantised('x', 0.03, 100)} p v", "m")
    net.convolution(y, (16, 16), "y")
    model = net.model((1, 16, SIZE, SIZE), "y")
    graph = passed(model)
    assert "conv2d" in [node.kind for node in graph.nodes]
    check(graph, model, evaluated, 1e-4)


def test_an_output_that_is_moved_is_a_float(evaluated: Evaluate) -> None:
    net = Network()
    net.add("Transpose", net.quantised("x", 0.03, 100), "y", perm=[0, 2, 3, 1])
    model = net.model((1, 16, SIZE, SIZE), "y")
    check(passed(model), model, evaluated, 1e-6)
