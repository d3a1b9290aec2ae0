from __future__ import annotations

from typing import Any

import pytest

from tvmopt.pipeline.graph.recognize import recognize

PASSES = (recognize,)

WINDOWS: list[dict[str, Any]] = [
    {"kernel_shape": [2, 2]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 2], "strides": [1, 3], "pads": [2, 0, 1, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    {"kernel_shape": [1, 1], "strides": [2, 3]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [8, 7], "strides": [3, 3]},
]


@pytest.mark.parametrize("attributes", WINDOWS)
@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool", "counting"])
def test_windows(through: Any, attributes: dict[str, Any], kind: str) -> None:
    operator, more = ("AveragePool", {"count_include_pad": 1}) if kind == "counting" else (kind, {})
    done = through((operator, "x", "y", {**attributes, **more}), passes=PASSES, inputs={"x": (2, 3, 8, 7)}, outputs="y")
    assert done.ops() == ["pool2d"]
    assert done.node("pool2d").attrs["kind"] == ("max" if operator == "MaxPool" else "average")
    done.check()


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
def test_windows_of_one_pixel_are_no_pooling(through: Any, kind: str) -> None:
    nodes = ((kind, "x", "u", {"kernel_shape": [1, 1]}), ("Neg", "u", "y"))
    done = through(*nodes, passes=PASSES, inputs={"x": (2, 3, 8, 7)}, outputs="y")
    assert done.ops() == ["pointwise"]
    done.check()


@pytest.mark.parametrize("operator", ["GlobalAveragePool", "GlobalMaxPool"])
def test_whole_maps(through: Any, operator: str) -> None:
    done = through((operator, "x", "y"), passes=PASSES, inputs={"x": (2, 3, 8, 7)}, outputs="y")
    assert done.ops() == ["pool2d"]
    assert done.node("pool2d").attrs["kernel"] == (8, 7)
    done.check()


LINES: list[dict[str, Any]] = [
    {"kernel_shape": [2]},
    {"kernel_shape": [4], "strides": [4]},
    {"kernel_shape": [3], "strides": [2], "pads": [2, 1]},
    {"kernel_shape": [3], "strides": [4], "pads": [1, 1], "ceil_mode": 1},
    {"kernel_shape": [4], "strides": [3], "auto_pad": "SAME_UPPER"},
]


@pytest.mark.parametrize("attributes", LINES)
@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool", "counting"])
def test_windows_of_lines(through: Any, attributes: dict[str, Any], kind: str) -> None:
    operator, more = ("AveragePool", {"count_include_pad": 1}) if kind == "counting" else (kind, {})
    done = through((operator, "x", "y", {**attributes, **more}), passes=PASSES, inputs={"x": (2, 3, 13)}, outputs="y")
    assert done.ops() == ["reshape", "pool2d", "reshape"]
    done.check()


@pytest.mark.parametrize("operator", ["GlobalAveragePool", "GlobalMaxPool"])
def test_whole_lines(through: Any, operator: str) -> None:
    done = through((operator, "x", "y"), passes=PASSES, inputs={"x": (2, 3, 13)}, outputs="y")
    assert done.node("pool2d").attrs["kernel"] == (1, 13)
    done.check()


VOLUMES: list[dict[str, Any]] = [
    {"kernel_shape": [2, 2, 2]},
    {"kernel_shape": [1, 2, 2], "strides": [1, 2, 2]},
    {"kernel_shape": [1, 1, 1], "strides": [2, 1, 1]},
    {"kernel_shape": [3, 3, 3], "strides": [2, 2, 2], "pads": [1] * 6},
    {"kernel_shape": [3, 1, 2], "strides": [2, 1, 1], "pads": [2, 0, 0, 0, 0, 1], "ceil_mode": 1},
    {"kernel_shape": [5, 4, 3]},
]


@pytest.mark.parametrize("attributes", VOLUMES)
@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool", "counting"])
def test_windows_of_volumes(through: Any, attributes: dict[str, Any], kind: str) -> None:
    operator, more = ("AveragePool", {"count_include_pad": 1}) if kind == "counting" else (kind, {})
    nodes = (operator, "x", "y", {**attributes, **more})
    done = through(nodes, passes=PASSES, inputs={"x": (2, 3, 5, 4, 5)}, outputs="y")
    assert [op for op in done.ops() if op not in ("reshape", "Transpose")] == ["pool2d"]
    done.check()


@pytest.mark.parametrize("planes", [1, 4])
@pytest.mark.parametrize("operator", ["GlobalAveragePool", "GlobalMaxPool"])
def test_whole_volumes(through: Any, operator: str, planes: int) -> None:
    done = through((operator, "x", "y"), passes=PASSES, inputs={"x": (2, 3, planes, 5, 3)}, outputs="y")
    assert [op for op in done.ops() if op not in ("reshape", "Transpose")] == ["pool2d", "reduce"]
    done.check()


@pytest.mark.parametrize(
    ("operator", "made", "shape", "attributes"),
    [
        ("MaxPool", "y places", (1, 3, 8, 7), {"kernel_shape": [2, 2]}),
        ("MaxPool", "y", (1, 3, 8, 7), {"kernel_shape": [2, 2], "dilations": [2, 1]}),
        ("MaxPool", "y", (1, 3, 4, 4, 4), {"kernel_shape": [2, 2, 2], "dilations": [2, 1, 1]}),
        ("MaxPool", "y", (1, 3, 8, 7), {"kernel_shape": [2, 2], "pads": [2, 0, 0, 0]}),
        ("MaxPool", "y", (1, 3, 8, 7), {"kernel_shape": [1, 1], "strides": [2, 3], "ceil_mode": 1}),
    ],
    ids=["places", "dilated", "dilated volumes", "a window of padding", "a window behind the map"],
)
def test_others_are_left(through: Any, operator: str, made: str, shape: Any, attributes: Any) -> None:
    done = through((operator, "x", made, attributes), passes=PASSES, inputs={"x": shape}, outputs=made)
    assert done.ops() == [operator]


def test_other_dtypes_are_left(through: Any) -> None:
    inputs = {"x": ("float64", 1, 3, 8, 7)}
    done = through(("MaxPool", "x", "y", {"kernel_shape": [2, 2]}), passes=PASSES, inputs=inputs, outputs="y")
    assert done.ops() == ["MaxPool"]
