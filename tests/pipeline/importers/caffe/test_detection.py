"""SSD's layers beside OpenCV, and a face detector that others trained."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.importers.caffe.files import input_text, layer_text, random_array, save_caffe
from tests.pipeline.importers.caffe.test_layers import imported, opencv
from tests.pipeline.values.compiled import Compiled
from tvmopt.pipeline.importers.caffe.build import import_caffe
from tvmopt.pipeline.importers.onnx_form.normalize import normalize
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest

PRIORS = """prior_box_param { min_size: 6 max_size: 9 clip: false aspect_ratio: 2 flip: true
    variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 }"""


def detector(classes: int, code: str = "CENTER_SIZE", keep: int = 30) -> str:
    """Locations and scores that convolutions compute, for the priors of maps of 3 by 4."""
    text = input_text(1, 3, 12, 16)
    text += layer_text("Pooling", "pool", "data", "maps", "pooling_param { pool: AVE kernel_size: 4 stride: 4 }")
    text += layer_text("PriorBox", "prior", "maps data", "prior", PRIORS)
    for name, channels in (("loc", 16), ("conf", 4 * classes)):
        text += layer_text(
            "Convolution", name, "maps", name, f"convolution_param {{ num_output: {channels} kernel_size: 1 }}"
        )
        text += layer_text("Permute", f"{name}_p", name, f"{name}_p", POSTERIOR)
        text += layer_text("Flatten", f"{name}_f", f"{name}_p", f"{name}_f")
    text += layer_text("Reshape", "r", "conf_f", "r", f"reshape_param {{ shape {{ dim: 0 dim: -1 dim: {classes} }} }}")
    text += layer_text("Softmax", "s", "r", "s", "softmax_param { axis: 2 }") + layer_text("Flatten", "f", "s", "f")
    options = f"""detection_output_param {{ num_classes: {classes} share_location: true background_label_id: 0
        keep_top_k: {keep} code_type: {code}
        confidence_threshold: 0.2 nms_param {{ nms_threshold: 0.4 top_k: 20 }} }}"""
    return text + layer_text("DetectionOutput", "out", "loc_f f prior", "out", options)


POSTERIOR = "permute_param { order: 0 order: 2 order: 3 order: 1 }"


@pytest.mark.parametrize("code", ["CENTER_SIZE", "CORNER"])
@pytest.mark.parametrize(("classes", "keep"), [(2, 30), (4, 30), (4, 7)])
def test_detections(classes: int, keep: int, code: str, tmp_path: Path) -> None:
    arrays = {
        "loc": [random_array(1, 16, 3, 1, 1), random_array(2, 16)],
        "conf": [3 * random_array(3, 4 * classes, 3, 1, 1), random_array(4, 4 * classes)],
    }
    path = save_caffe(tmp_path, detector(classes, code, keep), arrays)
    x = 2 * random_array(5, 1, 3, 12, 16)
    ours, theirs = imported(path, x)[0, 0], opencv(path, x)[0, 0]
    ours, theirs = ours[ours[:, 0] >= 0], theirs[theirs[:, 2] > 0]
    theirs = theirs[np.lexsort((-theirs[:, 2], theirs[:, 1]))]  # Caffe's order: by class; OpenCV's: by score
    assert 3 < len(ours) <= keep
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_compiled_detections(tmp_path: Path) -> None:
    arrays = {
        "loc": [random_array(1, 16, 3, 1, 1), random_array(2, 16)],
        "conf": [3 * random_array(3, 16, 3, 1, 1), random_array(4, 16)],
    }
    path = save_caffe(tmp_path, detector(4, keep=7), arrays)
    x = 2 * random_array(5, 1, 3, 12, 16)
    model = normalize(import_caffe(path, ShapeRequest()))
    (ours,) = Compiled(model).run({"data": x})
    assert np.sum(ours[..., 0] >= 0) == 7
    np.testing.assert_allclose(ours, imported(path, x), rtol=1e-4, atol=1e-5)


def test_no_detections_leave_rows_of_minus_one(tmp_path: Path) -> None:
    bias = np.repeat(np.array([[9.0, 0.0]]), 4, axis=0).reshape(-1)
    arrays = {
        "loc": [random_array(1, 16, 3, 1, 1), random_array(2, 16)],
        "conf": [np.zeros((8, 3, 1, 1)), bias],
    }
    found = imported(save_caffe(tmp_path, detector(2), arrays), random_array(5, 1, 3, 12, 16))
    assert found.shape == (1, 1, 20, 7)
    assert np.all(found == -1)


def test_a_trained_face_detector(tmp_path: Path) -> None:
    folder = Path(os.environ.get("TVMOPT_REAL_MODELS", "nowhere"))
    path = folder / "caffe" / "res10_300x300_ssd.prototxt"
    if not path.is_file():
        pytest.skip("TVMOPT_REAL_MODELS names no folder with caffe/res10_300x300_ssd.prototxt")
    (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "res10_300x300_ssd.caffemodel").write_bytes(next(path.parent.glob("res10*.caffemodel")).read_bytes())
    x = 60 * random_array(1, 1, 3, 300, 300)
    with np.load(folder / "samples" / "res10_ssd.npz") as sample:
        x = sample["input"]
    ours, theirs = imported(tmp_path / path.name, x)[0, 0], opencv(tmp_path / path.name, x)[0, 0]
    ours, theirs = ours[ours[:, 0] >= 0], theirs[theirs[:, 2] > 0]
    assert ours[0, 2] > 0.99
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
