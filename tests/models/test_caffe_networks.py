"""The classifiers as files of Caffe: published parameters, and what OpenCV's reader computes from the same files."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import RunTvmopt
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
    "inception_v3": 23_834_568,
    "inception_v4": 42_679_816,
    "inception_resnet_v2": 55_843_464,
}
"""As torchvision and timm publish them for their weights (Inception v3 without the classifier for training), except
for AlexNet's two groups and GoogLeNet's 5×5 convolutions, of which Caffe's own model zoo has the files."""
MULTIPLY_ADDS = {
    "alexnet": (0.724, 0.01),
    "squeezenet1_0": (0.86, 0.05),
    "squeezenet1_1": (0.36, 0.1),
    "vgg16": (15.47, 0.01),
    "vgg19": (19.63, 0.01),
    "googlenet": (1.58, 0.01),
    "resnet50": (3.8, 0.02),
    "resnet101": (7.6, 0.01),
    "resnet152": (11.3, 0.01),
    "densenet121": (2.834, 0.1),
    "densenet161": (7.728, 0.1),
    "densenet169": (3.36, 0.1),
    "mobilenet_v1": (0.569, 0.01),
    "mobilenet_v2": (0.300, 0.01),
    "se_resnet50": (3.87, 0.01),
    "inception_v3": (5.713, 0.01),
    "inception_v4": (12.28, 0.01),
    "inception_resnet_v2": (13.18, 0.01),
}
"""In 10^9, and by how much ours may differ.

SqueezeNet's as its authors' README rounds them; ResNet's (the stride in the first convolution of a block), SE-ResNet's
and MobileNets' from their papers; VGG's, DenseNet's and Inception v3's from torchvision's documentation, of v4 and
Inception-ResNet from timm's table of results; AlexNet's and GoogLeNet's from Caffe's model zoo. Caffe rounds sizes up,
so DenseNet's maps have 57 rows where torchvision's have 56.
"""


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
        published, share = MULTIPLY_ADDS[name]
        assert made.multiply_adds / 1e9 == pytest.approx(published, rel=share), name


@pytest.mark.parametrize("name", PARAMETERS)
def test_opencv_agrees(tmp_path: Path, networks: Any, name: str) -> None:
    """The import's own check compares layer by layer what OpenCV computes as Caffe does; here, the probabilities."""
    cv2 = pytest.importorskip("cv2")
    path = networks[name]().save(tmp_path / name)
    imported = load_model(str(path))
    unlike = ", but for Axpy" if name == "se_resnet50" else ""
    assert re.fullmatch(f"OpenCV [0-9.]+{unlike}", imported.checked_against)
    image = np.random.default_rng(1).standard_normal(imported.inputs[0].shape).astype(np.float32)
    ours = run_model(imported.original, {imported.inputs[0].name: image})
    # Of Axpy's blobs, OpenCV multiplies the last, its authors the one in the middle.
    axpy = re.compile(r'(type: "Axpy" bottom: "[^"]*") (bottom: "[^"]*") (bottom: "[^"]*")')
    path.write_text(axpy.sub(r"\1 \3 \2", path.read_text()))
    reader = cv2.dnn.readNetFromCaffe(str(path), str(path.with_suffix(".caffemodel")))
    reader.setInput(image)
    theirs = reader.forward()
    (made,) = ours.values()
    assert made.std() > 0
    np.testing.assert_allclose(made.reshape(-1), theirs.reshape(-1), rtol=1e-3, atol=1e-4 * float(np.abs(theirs).max()))


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v2", "se_resnet50", "inception_v3"])
def test_compiled_from_the_command_line(tmp_path: Path, networks: Any, run_tvmopt: RunTvmopt, name: str) -> None:
    """Of each kind of block one; ``nox -s bench -- --literature classification`` compiles and compares all."""
    networks[name]().save(tmp_path / name)
    files = f"{name}.prototxt", f"{name}.tar"
    done = run_tvmopt("compile", files[0], "-o", files[1], "--threads", "1", cwd=tmp_path, timeout_s=270.0)
    assert done.returncode == 0, done.stderr
    done = run_tvmopt("verify", *files, cwd=tmp_path, timeout_s=270.0)
    assert done.returncode == 0, done.stdout + done.stderr


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
