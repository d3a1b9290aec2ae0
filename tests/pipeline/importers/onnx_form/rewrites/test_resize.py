"""Resize beyond images that are stretched along rows and columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

MODES: list[dict[str, Any]] = [
    {"mode": "nearest"},
    {"mode": "linear"},
    {"mode": "cubic"},
    {"mode": "cubic", "exclude_outside": 1, "cubic_coeff_a": -0.5},
    {"mode": "linear", "antialias": 1},
    {"mode": "cubic", "antialias": 1},
]


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


@pytest.mark.parametrize("values", MODES, ids=lambda values: "-".join(map(str, values.values())))
@pytest.mark.parametrize("scales", [(0.6, 0.6), (1.7, 0.35), (2.0, 3.0), (0.23, 1.0)])
def test_modes_with_axes(written_out: Any, values: dict[str, Any], scales: tuple[float, float]) -> None:
    written_out(
        ("Resize", "x . s", "y", {**values, "axes": [2, -1]}),
        feeds={"x": normal(1, 2, 13, 11)},
        without="Resize",
        opset=19,
        s=np.array(scales, np.float32),
    )


@pytest.mark.parametrize(
    ("scales", "mode"),
    [
        ((1.0, 1.6), "nearest"),
        ((1.0, 1.0, 1.6), "nearest"),
        ((1.0, 1.0, 0.6), "linear"),
        ((1.0, 1.0, 1.6, 0.7, 2.3), "nearest"),
        ((1.0, 1.0, 1.6, 0.7, 2.3), "linear"),
        ((1.0, 2.0, 1.6, 0.7), "nearest"),
    ],
)
def test_ranks(written_out: Any, scales: tuple[float, ...], mode: str) -> None:
    feeds, factors = {"x": normal(*(2, 3, 7, 5, 4)[: len(scales)])}, np.array(scales, np.float32)
    written_out(("Resize", "x . s", "y", {"mode": mode}), feeds=feeds, without="Resize", opset=19, s=factors)


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_proportions_are_kept(written_out: Any, policy: str, mode: str) -> None:
    attributes = {"mode": mode, "keep_aspect_ratio_policy": policy, "axes": [2, 3]}
    written_out(
        ("Resize", "x . . z", "y", attributes),
        feeds={"x": normal(1, 2, 5, 9)},
        without="Resize",
        opset=19,
        z=np.array([8, 10]),
    )


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_a_region_that_reaches_outside(written_out: Any, mode: str) -> None:
    attributes = {
        "mode": mode,
        "coordinate_transformation_mode": "tf_crop_and_resize",
        "extrapolation_value": 7.0,
    }
    written_out(
        ("Resize", "x r . z", "y", attributes),
        feeds={"x": normal(1, 1, 6, 7)},
        without="Resize",
        opset=19,
        r=np.array([0, 0, 0.2, -0.3, 1, 1, 0.9, 1.4], np.float32),
        z=np.array([1, 1, 5, 6]),
    )


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16"])
def test_other_types(written_out: Any, dtype: str) -> None:
    data = np.arange(35).reshape(1, 5, 7).astype(dtype)
    mode = "linear" if dtype == "float16" else "nearest"
    scales = np.array([1, 1, 2.2], np.float32)
    attributes = {"mode": mode}
    written_out(("Resize", "x . s", "y", attributes), feeds={"x": data}, without="Resize", opset=19, s=scales)
