from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.pipeline.importers.onnx_form.rewrites.resize_tables import AxisResize, tables
from tvmopt.pipeline.support.onnxruntime import run_model

COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
ROUNDING = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
MODES = [
    *({"mode": "nearest", "nearest_mode": rounding} for rounding in ROUNDING),
    {"mode": "linear"},
    {"mode": "cubic"},
    {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
]
SIZES = (1, 2, 3, 5, 7, 10, 16, 33)
SCALES = (0.3, 0.5, 0.6, 0.77, 1.3, 1.5, 2.0, 2.5, 3.0, 7.1)
"""1.3 and 7.1 put positions within a rounding error of halves."""


@pytest.mark.parametrize(
    ("coordinates", "values"),
    [
        *((coordinates, values) for coordinates in COORDINATES for values in MODES),
        # Where this one's positions should be integers, onnxruntime's are a rounding error off: nearest is left out.
        *(("half_pixel_symmetric", values) for values in MODES if values["mode"] != "nearest"),
    ],
    ids=str,
)
def test_every_mode_matches_onnxruntime(onnx_model: Any, coordinates: str, values: dict[str, Any]) -> None:
    attributes = {"coordinate_transformation_mode": coordinates, **values}
    for before in SIZES:
        column = np.random.default_rng(0).standard_normal((1, 1, before, 1), np.float32)
        scales = [scale for scale in SCALES if int(np.float32(before) * np.float32(scale)) not in (0, before)]
        nodes = [("Resize", f"x . s{i}", f"y{i}", attributes) for i in range(len(scales))]
        constants = {f"s{i}": np.array([1, 1, scale, 1], np.float32) for i, scale in enumerate(scales)}
        model = onnx_model(
            *nodes, inputs={"x": column.shape}, outputs=" ".join(f"y{i}" for i in range(len(scales))), **constants
        )
        for scale, exact in zip(scales, run_model(model, {"x": column}).values(), strict=True):
            check(attributes, column[0, 0, :, 0], exact[0, 0, :, 0], float(np.float32(scale)))


def check(attributes: dict[str, Any], column: np.ndarray, exact: np.ndarray, scale: float) -> None:
    made = tables(attributes, "Resize", AxisResize(column.size, exact.size, scale))
    assert made is not None
    index, weight = made
    assert index.dtype == np.int32
    assert weight.dtype == np.float32
    np.testing.assert_allclose((column[index] * weight).sum(axis=1), exact, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("values", [{"mode": "linear"}, {"mode": "nearest"}, {"mode": "cubic"}])
@pytest.mark.parametrize("size", [(1, 1), (3, 9), (8, 4), (7, 7), (5, 31)])
def test_sizes_instead_of_scales(through: Any, values: dict[str, Any], size: tuple[int, int]) -> None:
    done = through(
        ("Resize", "x . . z", "y", values),
        passes=(recognize,),
        inputs={"x": (2, 3, 5, 7)},
        outputs="y",
        z=np.array([2, 3, *size]),
    )
    assert done.ops() == ["resize2d"]
    done.check()


@pytest.mark.parametrize(
    "node", [("Upsample", "x s", "y", {"mode": "nearest"}), ("Upsample", "x s", "y", {"mode": "linear"})]
)
def test_old_upsampling(through: Any, node: Any) -> None:
    scales = np.array([1, 1, 2, 3], np.float32)
    done = through(node, passes=(recognize,), inputs={"x": (1, 3, 4, 5)}, outputs="y", opset=9, s=scales)
    assert done.ops() == ["resize2d"]
    done.check()


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize_from_before_coordinates_could_be_chosen(through: Any, mode: str) -> None:
    scales = np.array([1, 1, 1.7, 0.6], np.float32)
    done = through(
        ("Resize", "x s", "y", {"mode": mode}),
        passes=(recognize,),
        inputs={"x": (1, 3, 4, 5)},
        outputs="y",
        opset=10,
        s=scales,
    )
    assert done.ops() == ["resize2d"]
    done.check()


def test_the_same_size_is_the_same_map(through: Any) -> None:
    done = through(
        ("Resize", "x . s", "y"),
        passes=(recognize,),
        inputs={"x": (1, 3, 2, 3)},
        outputs="y",
        s=np.array([1, 1, 1.3, 1.3], np.float32),
    )
    assert done.ops() == ["reshape"]
    done.check()


@pytest.mark.parametrize(
    ("taken", "attributes", "shape"),
    [
        ("x . s", {"mode": "linear", "antialias": 1}, (1, 3, 8, 8)),
        ("x r s", {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}, (1, 3, 8, 8)),
        ("x . . z", {"mode": "linear", "keep_aspect_ratio_policy": "not_larger"}, (1, 3, 8, 8)),
        ("x . half", {"mode": "linear", "axes": [2, 3]}, (1, 3, 8, 8)),
        ("x . c", {"mode": "nearest"}, (1, 3, 8, 8)),
        ("x . t", {"mode": "nearest"}, (3, 8, 8)),
    ],
    ids=["smooth", "crop", "proportions", "axes", "channels", "rank"],
)
def test_others_are_left(through: Any, taken: str, attributes: dict[str, Any], shape: tuple[int, ...]) -> None:
    constants = {
        "s": np.array([1, 1, 0.5, 0.5], np.float32),
        "r": np.array([0, 0, 0.1, 0.1, 1, 1, 0.9, 0.9], np.float32),
        "z": np.array([1, 3, 6, 4]),
        "half": np.array([0.5, 0.5], np.float32),
        "c": np.array([1, 2, 1, 1], np.float32),
        "t": np.array([1, 2, 2], np.float32),
    }
    used = {name: array for name, array in constants.items() if name in taken.split()}
    done = through(
        ("Resize", taken, "y", attributes), passes=(recognize,), inputs={"x": shape}, outputs="y", opset=19, **used
    )
    assert done.ops() == ["Resize"]
