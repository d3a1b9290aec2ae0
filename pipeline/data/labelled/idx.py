"""The idx files of MNIST and Fashion-MNIST: a magic number, sizes, and bytes; packed by gzip or not."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from tvmopt.pipeline.data.labelled.sample_set import LabelledSet, files_fingerprint, require_classes
from tvmopt.pipeline.errors import InputFileError

_IMAGES, _LABELS = "-images-idx3-ubyte", "-labels-idx1-ubyte"
_PARTS = ("t10k", "test", "train")
"""Beginnings of the names of their files; where there are several, the first is taken: it is what tests are for."""

_UINT8 = 8
_MAX_BYTES = 4 << 30
_GZIP = b"\x1f\x8b"


def find_idx(path: Path) -> tuple[Path, Path] | None:
    """The files of images and of labels that `path` holds or is the first of; None when there are none.

    Raises:
        InputFileError: there are images and no labels.
    """
    if path.is_file():
        return _pair(path.parent, path.name) if _IMAGES in _dashed(path.name) else None
    names = [entry.name for entry in sorted(path.iterdir()) if _IMAGES in _dashed(entry.name)]
    order = {name: next((at for at, part in enumerate(_PARTS) if name.startswith(part)), len(_PARTS)) for name in names}
    return _pair(path, min(names, key=lambda name: (order[name], name))) if names else None


def open_idx(images: Path, labels: Path) -> LabelledSet:
    """The grey pictures and labels of two idx files.

    Raises:
        InputFileError: a file is truncated or is no idx file of bytes, their counts differ, or all are of one class.
    """
    pictures, numbers = read_idx(images, 3), read_idx(labels, 1)
    if len(pictures) != len(numbers):
        raise InputFileError(f"{images} has {len(pictures)} pictures, {labels.name} {len(numbers)} labels")
    if not len(pictures):
        raise InputFileError(f"{images}: has no pictures")
    listed = [int(number) for number in numbers]
    require_classes(listed, images)
    return LabelledSet(
        form="MNIST's idx files",
        path=images,
        kind="classes",
        names=[f"{images.name}[{index}]" for index in range(len(pictures))],
        read=lambda index: pictures[index][..., None],
        label=lambda index: listed[index],
        numbers=listed,
        fingerprint=files_fingerprint(images.parent, (images, labels)),
    )


def read_idx(path: Path, rank: int) -> np.ndarray:
    """The bytes of an idx file, uint8, of `rank` dimensions.

    Raises:
        InputFileError: it is no such file, or not whole.
    """
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == _GZIP
        with gzip.open(path) if packed else path.open("rb") as file:
            header = file.read(4 + 4 * rank)
            if len(header) < 4 + 4 * rank or header[:4] != bytes((0, 0, _UINT8, rank)):
                raise InputFileError(f"{path}: not an idx file of bytes in {rank} dimensions")
            shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
            count = math.prod(shape)
            if count > _MAX_BYTES:
                raise InputFileError(f"{path}: claims {count} bytes, more than the {_MAX_BYTES} allowed")
            content = file.read(count)
    except (OSError, EOFError, zlib.error) as error:
        raise InputFileError(f"{path}: cannot be read: {error}") from None
    if len(content) < count:
        raise InputFileError(f"{path}: is truncated: it has {len(content)} of {count} bytes")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _pair(folder: Path, images: str) -> tuple[Path, Path]:
    stem = _dashed(images).partition(_IMAGES)[0]
    for entry in sorted(folder.iterdir()):
        if _dashed(entry.name).startswith(stem + _LABELS):
            return folder / images, entry
    raise InputFileError(f"{folder / images}: has no labels beside it; expected {stem}{_LABELS} or that with .gz")


def _dashed(name: str) -> str:
    """Some archives write ``t10k-images.idx3-ubyte``."""
    return name.replace(".idx", "-idx")
