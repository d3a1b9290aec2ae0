"""From pictures to inputs: presets against formulas written out, layouts, sizes, and a user's function."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tvmopt.pipeline.data.labelled.sample_set import LabelledSet
from tvmopt.pipeline.data.preprocessing import Preprocessing, choose_preprocessing, resize
from tvmopt.pipeline.errors import InputFileError, ModelInputError, UsageError
from tvmopt.pipeline.types import TensorSpec

PICTURE = np.random.default_rng(0).integers(0, 256, (11, 13, 3), np.uint8)
SAMPLES = LabelledSet("test", Path("set"), "classes", ["a"], lambda _: PICTURE, lambda _: 0, (0,))
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def choose(
    asked: str | None, *shape: int, dtype: str = "float32", kind: str = "onnx", samples: LabelledSet = SAMPLES
) -> Preprocessing:
    return choose_preprocessing(asked, TensorSpec("x", shape, dtype), samples, kind)


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("imagenet", (PICTURE / 255 - MEAN) / DEVIATION),
        ("caffe", PICTURE[..., ::-1] - np.array([103.939, 116.779, 123.68])),
        ("0..1", PICTURE / 255),
        ("-1..1", PICTURE / 127.5 - 1),
        ("0..255", PICTURE.astype(float)),
    ],
)
def test_presets(preset: str, expected: np.ndarray) -> None:
    first, last = choose(preset, 1, 3, 11, 13), choose(preset, 4, 11, 13, 3)
    made = first.prepare(PICTURE)
    assert (made.dtype, made.shape, made.flags.c_contiguous) == (np.float32, (3, 11, 13), True)
    np.testing.assert_allclose(made, expected.transpose(2, 0, 1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(last.prepare(PICTURE), expected, rtol=1e-5, atol=1e-5)


def test_bytes() -> None:
    assert np.array_equal(choose(None, 1, 11, 13, 3, dtype="uint8").prepare(PICTURE), PICTURE)
    signed = choose(None, 1, 11, 13, 3, dtype="int8").prepare(PICTURE)
    assert signed.dtype == np.int8
    assert np.array_equal(signed.astype(int), PICTURE.astype(int) - 128)


def test_grey_models_and_grey_pictures() -> None:
    grey = np.asarray(Image.fromarray(PICTURE).convert("L"))
    made = choose(None, 1, 1, 11, 13)
    assert made.name == "0..1"
    np.testing.assert_allclose(made.prepare(PICTURE)[0], grey / 255, rtol=1e-6)
    assert choose(None, 1, 11, 13).prepare(PICTURE).shape == (11, 13)
    coloured = choose("0..255", 1, 3, 11, 13).prepare(grey[..., None])
    assert all(np.array_equal(plane, grey) for plane in coloured)
    flat = choose("0..255", 2, 143).prepare(grey[..., None])
    assert np.array_equal(flat, grey.ravel())


def test_the_default_suits_the_model_and_says_why() -> None:
    shape = (1, 3, 11, 13)
    chosen = {kind: choose(None, *shape, kind=kind) for kind in ("onnx", "python", "caffe", "keras", "tflite")}
    assert {kind: one.name for kind, one in chosen.items()} == {
        "onnx": "imagenet",
        "python": "imagenet",
        "caffe": "caffe",
        "keras": "-1..1",
        "tflite": "-1..1",
    }
    assert all(one.why for one in chosen.values())
    assert choose("0..1", *shape).why == ""


def test_crops_of_the_middle_or_the_whole() -> None:
    tall = np.zeros((100, 50, 3), np.uint8)
    tall[:, :, 0] = np.arange(100)[:, None]
    cropped = resize(tall, (28, 28), crop=True)  # 32 of the shorter side, of which 28
    assert cropped.shape == (28, 28, 3)
    assert float(cropped[14, 0, 0]) == pytest.approx(50, abs=2)
    assert float(cropped[0, 0, 0]) == pytest.approx(100 * 18 / 64, abs=2)
    whole = resize(tall, (28, 28), crop=False)
    assert (float(whole[0, 0, 0]), float(whole[-1, 0, 0])) == (pytest.approx(1, abs=2), pytest.approx(98, abs=2))
    assert resize(tall, (100, 50), crop=True) is tall
    assert resize(tall, (120, 60), crop=True).shape == (120, 60, 3)  # a smaller picture is stretched


def test_boxes_stay_where_they_are() -> None:
    boxes = replace(SAMPLES, kind="boxes")
    stretched = choose("0..255", 1, 3, 5, 6, samples=boxes).prepare(PICTURE)
    assert np.array_equal(stretched.transpose(1, 2, 0), resize(PICTURE, (5, 6), crop=False))


def test_samples_that_are_inputs() -> None:
    ready = replace(SAMPLES, pictures=False)
    made = choose(None, 1, 1, 11, 13, samples=ready)
    assert made.name == "as it is"
    assert made.prepare(np.zeros((11, 13))).shape == (1, 11, 13)
    with pytest.raises(ModelInputError, match=r"\(13, 11\), which does not fit the model's input x \(1, 1, 11, 13\)"):
        made.prepare(np.zeros((13, 11)))
    with pytest.raises(ModelInputError, match="samples are float64, the model's input x is int64"):
        choose(None, 1, 4, dtype="int64", samples=ready).prepare(np.zeros(4))
    with pytest.raises(UsageError, match="is for pictures"):
        choose("0..1", 1, 1, 11, 13, samples=ready)


def test_models_that_take_no_pictures() -> None:
    with pytest.raises(ModelInputError, match=r"takes no pictures: its input x has shape \(1, 4, 5, 6, 7\)"):
        choose(None, 1, 4, 5, 6, 7)
    with pytest.raises(ModelInputError, match="which a picture of 11×13×3 does not fill"):
        choose("0..1", 1, 144).prepare(PICTURE)
    with pytest.raises(UsageError, match=r"unknown preprocessing 'imagnet'; did you mean imagenet\?"):
        choose("imagnet", 1, 3, 11, 13)


def test_a_users_function(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import helper\n"
        "def good(picture): return picture[None, :2, :3, 0].astype(float) * helper.FACTOR\n"
        "def small(picture): return picture[:1]\n"
        "def words(picture): return [['a'] * 3] * 2\n"
        "def bad(picture):\n    raise ValueError('no')\n"
        "number = 3\n"
    )
    (tmp_path / "helper.py").write_text("FACTOR = 2\n")
    made = choose(f"{file}:good", 1, 2, 3)
    assert np.array_equal(made.prepare(PICTURE), PICTURE[:2, :3, 0] * np.float32(2))
    for name, message in {
        "small": "made an array of shape (1, 13, 3); the model's input x needs (2, 3)",
        "words": "numbers were expected",
    }.items():
        with pytest.raises(ModelInputError) as caught:
            choose(f"{file}:{name}", 1, 2, 3).prepare(PICTURE)
        assert message in str(caught.value)
    with pytest.raises(InputFileError, match=r"bad\(\) raised ValueError at mine\.py:6: no"):
        choose(f"{file}:bad", 1, 2, 3).prepare(PICTURE)
    for name, message in {"absent": "defines no 'absent'", "number": "has a int as 'number'"}.items():
        with pytest.raises(InputFileError, match=message):
            choose(f"{file}:{name}", 1, 2, 3)
    with pytest.raises(InputFileError, match="there is no file"):
        choose(f"{tmp_path}/nowhere.py:good", 1, 2, 3)
