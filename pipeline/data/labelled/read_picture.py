"""Reads pictures with Pillow, whole and in their own size."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.pipeline.data.labelled.sample_set import UnreadableSampleError
from tvmopt.pipeline.errors import RuntimeMissingError
from tvmopt.pipeline.support.messages import one_line

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff", ".gif")
"""Endings of the files that count as pictures in a labelled set."""

_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    SyntaxError,
    TypeError,
    LookupError,
    ArithmeticError,
    struct.error,
    zlib.error,
)
"""What Pillow's readers raise on damaged files, also where only the metadata are damaged."""

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

    def upright(picture: Any) -> np.ndarray:
        turned = ImageOps.exif_transpose(picture)
        return np.asarray(turned.convert("L" if turned.mode in _GREY else "RGB"))

    array = _read(path, upright)
    return array[..., None] if array.ndim == 2 else array


def read_mask(path: Path) -> np.ndarray:
    """The class of each pixel, int64 of shape (height, width), as the picture's palette or grey numbers it.

    Raises:
        UnreadableSampleError: it cannot be read, or its colours are no numbers.
    """

    def numbers(picture: Any) -> np.ndarray:
        if picture.mode not in ("P", *_GREY):
            raise UnreadableSampleError(
                f"{path.name}: a mask numbers its pixels by palette or grey, this one is colour"
            )
        return np.asarray(picture, dtype=np.int64)

    return _read(path, numbers)


def _read(path: Path, make: Callable[[Any], np.ndarray]) -> np.ndarray:
    """What `make` makes of the picture; whatever fails on a damaged file, the sample is unreadable."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Pillow only warns about pictures that unpack to far more memory than they should take.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                picture.load()
                return make(picture)
    except (*_DAMAGED, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableSampleError(f"{path.name}: not a picture that can be read: {one_line(error)}") from None
