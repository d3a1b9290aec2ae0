"""Reads pictures with Pillow, whole and in their own size."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.pipeline.data.labelled.sample_set import UnreadableSampleError
from tvmopt.pipeline.errors import RuntimeMissingError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff", ".gif")
"""Endings of the files that count as pictures in a labelled set."""

_GREY = ("1", "L", "I", "I;16", "F")


def require_pillow() -> None:
    """Checks that Pillow is there.

    Raises:
        RuntimeMissingError: it is not.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise RuntimeMissingError("reading pictures needs Pillow: pip install 'tvmopt[data]'") from None


def read_picture(path: Path) -> np.ndarray:
    """A picture, uint8 of shape (height, width, 3), or 1 where it is grey; turned as its camera says.

    Raises:
        UnreadableSampleError: it cannot be read.
    """
    from PIL import ImageOps

    picture = ImageOps.exif_transpose(_open(path))
    array = np.asarray(picture.convert("L" if picture.mode in _GREY else "RGB"))
    return array[..., None] if array.ndim == 2 else array


def read_mask(path: Path) -> np.ndarray:
    """The class of each pixel, int64 of shape (height, width), as the picture's palette or grey numbers it.

    Raises:
        UnreadableSampleError: it cannot be read, or its colours are no numbers.
    """
    picture = _open(path)
    if picture.mode not in ("P", *_GREY):
        raise UnreadableSampleError(f"{path.name}: a mask numbers its pixels by palette or grey, this one is colour")
    return np.asarray(picture, dtype=np.int64)


def _open(path: Path) -> Any:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Pillow only warns about pictures that unpack to far more memory than they should take.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                picture.load()
                return picture
    except (
        OSError,
        EOFError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise UnreadableSampleError(f"{path.name}: not a picture that can be read: {error}") from None
