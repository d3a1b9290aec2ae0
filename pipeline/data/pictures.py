"""Real input: random crops of a user's pictures, or of the two photographs that scikit-learn ships."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.pipeline.errors import InputFileError, RuntimeMissingError
from tvmopt.pipeline.types import TensorSpec

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
"""Endings of the files that are read from a folder of pictures."""

MAX_PICTURES = 256
"""How many pictures of a folder are read; more would fill the memory and add little."""

MAX_SIDE = 640
"""Larger pictures are shrunk to this when read, so that a folder of them fits the memory."""

# Mean and deviation of ImageNet's red, green and blue, from 0 to 1: what most image networks are trained with.
_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], dtype=np.float32)
_SMALLEST_CROP = 0.35


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures (height × width × 3, uint8) and a description of where they are from."""

    arrays: tuple[np.ndarray, ...]
    origin: str


def takes_pictures(inputs: Sequence[TensorSpec]) -> bool:
    """Whether a model looks like one for images: a single float32 input N×C×H×W with one or three channels."""
    if len(inputs) != 1 or inputs[0].dtype != "float32" or len(inputs[0].shape) != 4:
        return False
    _, channels, height, width = inputs[0].shape
    return channels in (1, 3) and min(height, width) >= 8


@functools.cache
def load_pictures(folder: Path | None) -> Pictures:
    """The pictures of `folder`, or scikit-learn's two photographs; read once in a process.

    Raises:
        InputFileError: when the folder is missing, has no pictures, or one cannot be read.
        RuntimeMissingError: when Pillow or, without a folder, scikit-learn is not installed.
    """
    return _sample_photographs() if folder is None else _read_folder(folder)


def crop_pictures(pictures: Pictures, count: int, shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Random crops, resized (bilinear) and normalised with ImageNet's mean and deviation.

    Args:
        pictures: what to cut from.
        count: how many crops.
        shape: channels (1 or 3), height, width of each.
        seed: of the random choice of picture, place and size.

    Returns:
        float32 of shape (count, channels, height, width).
    """
    channels, height, width = shape
    random = np.random.default_rng(seed)
    crops = np.empty((count, channels, height, width), dtype=np.float32)
    for crop in crops:
        resized = cut_at_random(pictures, (height, width), random).astype(np.float32) / 255
        normal = ((resized - _MEAN) / _DEVIATION).transpose(2, 0, 1)
        crop[:] = normal if channels == 3 else normal.mean(axis=0, keepdims=True)
    return crops


def cut_at_random(pictures: Pictures, size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """A random part of a random picture in the height and width `size` (bilinear): uint8, height × width × 3."""
    from PIL import Image

    height, width = size
    picture = pictures.arrays[random.integers(len(pictures.arrays))]
    rows, columns = picture.shape[:2]
    scale = random.uniform(_SMALLEST_CROP, 1.0) * min(rows / height, columns / width)
    tall, wide = max(1, int(scale * height)), max(1, int(scale * width))
    top, left = random.integers(rows - tall + 1), random.integers(columns - wide + 1)
    cut = Image.fromarray(picture[top : top + tall, left : left + wide])
    return np.asarray(cut.resize((width, height), Image.Resampling.BILINEAR))


def _sample_photographs() -> Pictures:
    try:
        from sklearn.datasets import load_sample_images

        arrays = tuple(load_sample_images().images)
    except ImportError:
        message = "the sample photographs need scikit-learn and Pillow: pip install 'tvmopt[data]', or give --data"
        raise RuntimeMissingError(message) from None
    return Pictures(arrays, "random crops of scikit-learn's two sample photographs")


def _read_folder(folder: Path) -> Pictures:
    try:
        from PIL import Image
    except ImportError:
        raise RuntimeMissingError("reading pictures needs Pillow: pip install 'tvmopt[data]'") from None
    if not folder.is_dir():
        raise InputFileError(f"{folder}: not a folder; --data takes a folder of pictures ({', '.join(SUFFIXES)})")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise InputFileError(f"{folder}: has no pictures; expected files that end with {', '.join(SUFFIXES)}")
    arrays = tuple(_read_picture(path, Image) for path in files[:MAX_PICTURES])
    return Pictures(arrays, f"random crops of {len(arrays)} pictures of the folder given with --data")


def _read_picture(path: Path, image: Any) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            # Pillow only warns about pictures that unpack to far more memory than they should take.
            warnings.simplefilter("error", image.DecompressionBombWarning)
            with image.open(path) as picture:
                small = picture.convert("RGB")
                small.thumbnail((MAX_SIDE, MAX_SIDE))
                return np.asarray(small)
    except (OSError, ValueError, SyntaxError, image.DecompressionBombError, image.DecompressionBombWarning) as error:
        raise InputFileError(f"{path}: not a picture that can be read: {error}") from None
