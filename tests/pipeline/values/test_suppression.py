"""Non-maximum suppression whose boxes are marked, compiled, beside onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from tests.pipeline.values.compiled import Compiled
from tests.workloads.boxes import boxes_that_hurt, scores_that_hurt
from tvmopt.pipeline.importers.onnx_form.layer_names import name_nodes
from tvmopt.pipeline.importers.onnx_form.normalize import normalize
from tvmopt.pipeline.support.onnxruntime import run_model

MARKING = (("Shape", "s", "n", {"end": 1}), ("Expand", "seven n", "v"), ("ScatterND", "data s v", "y"))
OVERLAP = 1 / 3


def marked(onnx_model: Any, shape: tuple[int, int, int], names: str, **attributes: Any) -> onnx.ModelProto:
    """A model that writes 7 where a box stays; `names` are those of the limits, of which some may be absent."""
    images, _, count = shape
    model: onnx.ModelProto = onnx_model(
        ("NonMaxSuppression", f"boxes scores {names}", "s", attributes),
        *MARKING,
        inputs={"boxes": (images, count, 4), "scores": shape, "data": shape},
        outputs="y",
        seven=np.float32(7),
        none=np.array([0]),
        three=np.array([3]),
        many=np.array([1 << 40]),
        third=np.array([OVERLAP], np.float32),
        low=np.array([0.5], np.float32),
        high=np.array([1e9], np.float32),
    )
    name_nodes(model.graph.node)
    return model


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("shape", "center", "names"),
    [
        ((2, 3, 37), 0, "many third low"),
        ((1, 1, 1), 0, "many third low"),
        ((3, 1, 301), 1, "three third low"),
        ((2, 3, 37), 1, "many . low"),
        ((2, 3, 37), 0, "none third low"),
        ((2, 3, 37), 1, ". third low"),
        ((3, 1, 301), 0, "many third high"),
        ((2, 3, 37), 0, "many third"),
        ((3, 1, 301), 1, "many third"),
    ],
)
def test_marked_boxes(onnx_model: Any, shape: Any, center: int, names: str) -> None:
    model = marked(onnx_model, shape, names, center_point_box=center)
    images, classes, count = shape
    scores = scores_that_hurt(images, classes, count)
    if names == "many third":
        scores[np.isnan(scores)] = 0.25  # without a least score, onnxruntime's order of NaN is left open
    data = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    feeds = {"boxes": boxes_that_hurt(images, count), "scores": scores, "data": data}
    normal = normalize(model)
    wanted = run_model(model, feeds)["y"]
    np.testing.assert_array_equal(run_model(normal, feeds)["y"], wanted)
    np.testing.assert_array_equal(Compiled(normal).run(feeds)[0], wanted)


def test_overlaps_within_rounding_of_the_limit(onnx_model: Any) -> None:
    """Two boxes in many sizes and places: rounding alone decides whether the second stays."""
    random = np.random.default_rng(0)
    shape = (2000, 1, 2)
    pair = np.array([[0.13, 0.07, 1.31, 1.22], [0.17, 0.11, 1.43, 1.37]])
    boxes = pair * (0.5 + random.random((2000, 1, 1))) + np.tile(random.random((2000, 1, 2)), 2)
    shared, areas = 1.14 * 1.11, 1.18 * 1.15 + 1.26 * 1.26
    model = onnx_model(
        ("NonMaxSuppression", "boxes scores many limit", "s"),
        *MARKING,
        inputs={"boxes": (2000, 2, 4), "scores": shape, "data": shape},
        outputs="y",
        seven=np.float32(7),
        many=np.array([2]),
        limit=np.array([shared / (areas - shared)], np.float32),
    )
    name_nodes(model.graph.node)
    scores = np.tile(np.array([0.75, 0.5], np.float32), (2000, 1, 1))
    feeds = {"boxes": boxes.astype(np.float32), "scores": scores, "data": np.zeros(shape, np.float32)}
    wanted = run_model(model, feeds)["y"]
    assert 0 < np.sum(wanted[:, 0, 1] == 0) < 2000
    np.testing.assert_array_equal(Compiled(normalize(model)).run(feeds)[0], wanted)
