"""Crops of pictures, and folders without pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tvmopt.pipeline.data.pictures import MAX_SIDE, Pictures, crop_pictures, load_pictures, takes_pictures
from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.types import TensorSpec


def test_sample_photographs() -> None:
    pictures = load_pictures(None)
    assert len(pictures.arrays) == 2
    crops = crop_pictures(pictures, 4, (3, 32, 48), seed=1)
    assert crops.shape == (4, 3, 32, 48)
    assert crops.dtype == np.float32
    assert np.array_equal(crops, crop_pictures(pictures, 4, (3, 32, 48), seed=1))
    assert not np.array_equal(crops, crop_pictures(pictures, 4, (3, 32, 48), seed=2))
    assert len({crop.tobytes() for crop in crops}) == 4


def test_normalised_with_imagenets_mean_and_deviation() -> None:
    white = Pictures((np.full((20, 20, 3), 255, dtype=np.uint8),), "white")
    crop = crop_pictures(white, 1, (3, 8, 8), seed=0)[0]
    assert crop[:, 0, 0] == pytest.approx([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    grey = crop_pictures(white, 1, (1, 8, 8), seed=0)
    assert grey.shape == (1, 1, 8, 8)


def test_a_crop_larger_than_the_picture() -> None:
    small = Pictures((np.zeros((5, 9, 3), dtype=np.uint8),), "small")
    assert crop_pictures(small, 2, (3, 64, 32), seed=0).shape == (2, 3, 64, 32)


def test_folder(tmp_path: Path) -> None:
    Image.new("RGB", (30, 20), "red").save(tmp_path / "a.PNG")
    Image.new("L", (2 * MAX_SIDE, 10), 128).save(tmp_path / "b.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    pictures = load_pictures(tmp_path)
    assert [array.shape for array in pictures.arrays] == [(20, 30, 3), (5, MAX_SIDE, 3)]
    assert "2 pictures" in pictures.origin


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="not a folder"):
        load_pictures(tmp_path / "none")


def test_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="has no pictures"):
        load_pictures(tmp_path)


def test_broken_picture(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    with pytest.raises(InputFileError, match="broken.png: not a picture that can be read"):
        load_pictures(tmp_path)


def test_picture_that_unpacks_to_far_more_than_it_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (3000, 3000)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    with pytest.raises(InputFileError, match="bomb.png: not a picture that can be read"):
        load_pictures(tmp_path)


@pytest.mark.parametrize(
    ("shapes", "dtype", "takes"),
    [
        ([(1, 3, 224, 224)], "float32", True),
        ([(4, 1, 8, 8)], "float32", True),
        ([(1, 3, 4, 4)], "float32", False),
        ([(1, 64, 56, 56)], "float32", False),
        ([(1, 128)], "float32", False),
        ([(1, 3, 224, 224)], "uint8", False),
        ([(1, 3, 224, 224), (1, 10)], "float32", False),
    ],
)
def test_models_that_take_pictures(shapes: list[tuple[int, ...]], dtype: str, takes: bool) -> None:
    specs = [TensorSpec(f"input_{index}", shape, dtype) for index, shape in enumerate(shapes)]
    assert takes_pictures(specs) is takes
