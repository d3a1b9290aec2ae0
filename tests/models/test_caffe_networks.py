"""The classifiers as files of Caffe: published parameters, and what OpenCV's reader computes from the same files."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.support.onnxruntime import run_model

pytestmark = pytest.mark.slow  # hundreds of megabytes of weights

LITERATURE = Path(__file__).resolve().parents[2] / "models" / "literature"

PARAMETERS = {
    "alexnet": 60_965_224,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "googlenet": 6_998_552,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "se_resnet50": 28_088_024,
    "densenet121": 7_978_856,
    "densenet161": 28_681_000,
    "densenet169": 14_149_480,
    "mobilenet_v1": 4_231_976,
    "mobilenet_v2": 3_504_872,
}
MULTIPLY_ADDS = {"alexnet": 0.724, "vgg16": 15.47, "vgg19": 19.63, "googlenet": 1.58, "resnet50": 3.86}
"""In 10^9, where the papers or Caffe's authors say them: ResNet's stride is in the first convolution of a block."""


@pytest.fixture(scope="module")
def networks() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(LITERATURE)
        yield importlib.import_module("caffe_networks").NETWORKS


def test_each_network_has_the_published_parameters(networks: Any) -> None:
    assert set(networks) == set(PARAMETERS)
    for name, make in networks.items():
        made = make()
        assert made.parameters == PARAMETERS[name], name
        if name in MULTIPLY_ADDS:
            assert made.multiply_adds / 1e9 == pytest.approx(MULTIPLY_ADDS[name], rel=0.01), name


@pytest.mark.parametrize(
    "name", ["alexnet", "squeezenet1_0", "squeezenet1_1", "googlenet", "resnet50", "densenet121", "mobilenet_v1"]
)
def test_opencv_agrees(tmp_path: Path, networks: Any, name: str) -> None:
    cv2 = pytest.importorskip("cv2")
    path = networks[name]().save(tmp_path / name)
    imported = load_model(str(path))
    image = np.random.default_rng(1).standard_normal(imported.inputs[0].shape).astype(np.float32)
    ours = run_model(imported.original, {imported.inputs[0].name: image})
    reader = cv2.dnn.readNetFromCaffe(str(path), str(path.with_suffix(".caffemodel")))
    reader.setInput(image)
    theirs = reader.forward()
    (made,) = ours.values()
    assert made.std() > 0
    np.testing.assert_allclose(made.reshape(-1), theirs.reshape(-1), rtol=1e-3, atol=1e-4 * float(np.abs(theirs).max()))


def test_the_detector_finds_the_boxes_that_opencv_finds(tmp_path: Path, networks: Any) -> None:
    """5,783,417 parameters with normalisations folded, as the published file has, and its 1917 boxes."""
    cv2 = pytest.importorskip("cv2")
    made = importlib.import_module("caffe_ssd").mobilenet_ssd()
    assert made.parameters == 5_783_417
    path = made.save(tmp_path / "ssd")
    imported = load_model(str(path))
    image = np.random.default_rng(1).standard_normal((1, 3, 300, 300)).astype(np.float32)
    (ours,) = run_model(imported.original, {imported.inputs[0].name: image}).values()
    reader = cv2.dnn.readNetFromCaffe(str(path), str(path.with_suffix(".caffemodel")))
    reader.setInput(image)
    # Rows of the background's class are those that no box needs.
    found, theirs = ([row for row in rows.reshape(-1, 7).tolist() if row[1] > 0] for rows in (ours, reader.forward()))
    assert len(found) == len(theirs) > 1
    np.testing.assert_allclose(sorted(found), sorted(theirs), rtol=1e-3, atol=1e-4)
