"""PASCAL VOC's layout: pictures, annotations with boxes, masks, and lists of which belong to a part.

The development kit of VOC2012 describes the files. Boxes are in pixels that count from 1, and both ends belong to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from tvmopt.pipeline.data.labelled.folders import CLASSES
from tvmopt.pipeline.data.labelled.read_lines import read_lines
from tvmopt.pipeline.data.labelled.read_picture import read_mask, read_picture, require_pillow
from tvmopt.pipeline.data.labelled.sample_set import (
    LabelledSet,
    Objects,
    UnreadableSampleError,
    files_fingerprint,
)
from tvmopt.pipeline.errors import InputFileError

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The classes of VOC, in the order in which networks number them, from 1; 0 is the background."""

IGNORED = 255
"""The number of pixels round an object, which have no class."""

_PICTURES, _BOXES, _MASKS = "JPEGImages", "Annotations", "SegmentationClass"
_SUFFIXES = (".jpg", ".jpeg", ".png")
_PARTS = ("test", "val", "trainval", "train")
_MAX_XML_BYTES = 1 << 20


def find_voc(path: Path) -> Path | None:
    """The folder with VOC's layout that `path` is or holds; None when there is none."""
    if not path.is_dir():
        return None
    for folder in (path, *sorted(path.glob("VOC*")), *sorted(path.glob("VOCdevkit/VOC*"))):
        if (folder / _PICTURES).is_dir():
            return folder
    return None


def has_masks_only(path: Path) -> bool:
    """Whether a set has masks, and no boxes."""
    return (path / _MASKS).is_dir() and not any((path / _BOXES).glob("*.xml"))


def open_voc(path: Path, masks: bool = False) -> LabelledSet:
    """The pictures with their boxes, or with their masks.

    The first of the lists test, val, trainval and train says which; without one, all that have an annotation. A file
    ``classes.txt`` names other classes than VOC's.

    Raises:
        InputFileError: there are no pictures with labels.
        RuntimeMissingError: Pillow is not installed.
    """
    require_pillow()
    labels, suffix = (_MASKS, ".png") if masks else (_BOXES, ".xml")
    stems = _stems(path, path / labels, suffix, "Segmentation" if masks else "Main")
    if not stems:
        raise InputFileError(f"{path}: has no pictures with labels; expected files in {_PICTURES} and {labels}")
    own = path / CLASSES
    classes = tuple(name for name in read_lines(own) if name) if own.is_file() else VOC_CLASSES
    pictures = [_picture(path / _PICTURES, stem) for stem in stems]
    files = [path / labels / f"{stem}{suffix}" for stem in stems]
    return LabelledSet(
        form="VOC's folders, masks" if masks else "VOC's folders, boxes",
        path=path,
        kind="masks" if masks else "boxes",
        names=[picture.name for picture in pictures],
        read=lambda index: read_picture(pictures[index]),
        label=(lambda index: _mask(files[index])) if masks else (lambda index: read_objects(files[index], classes)),
        classes=classes,
        complete=True,
        fingerprint=files_fingerprint(path, [*pictures, *files]),
    )


def read_objects(path: Path, classes: Sequence[str]) -> Objects:
    """The objects of an annotation; those of classes that are not listed are left out.

    Raises:
        UnreadableSampleError: it is no whole annotation.
    """
    try:
        if path.stat().st_size > _MAX_XML_BYTES:
            raise UnreadableSampleError(f"{path.name}: too large for an annotation")
        text = path.read_text(encoding="utf-8")
        if "<!ENTITY" in text:  # a file that unpacks to far more memory than it should take
            raise UnreadableSampleError(f"{path.name}: an annotation defines no entities")
        root = ET.fromstring(text)  # noqa: S314  # without entities and above that size, it does no harm
        width, height = (float(_text(root, f"size/{name}")) for name in ("width", "height"))
        found = [entry for entry in root.iter("object") if _text(entry, "name") in classes]
        pixels = [[float(_text(entry, f"bndbox/{side}")) for side in _SIDES] for entry in found]
        hard = [entry.findtext("difficult", "0").strip() == "1" for entry in found]
    except (OSError, ValueError, ET.ParseError) as error:
        raise UnreadableSampleError(f"{path.name}: not an annotation that can be read: {error}") from None
    if width <= 0 or height <= 0:
        raise UnreadableSampleError(f"{path.name}: the picture has no size")
    boxes = np.array(pixels, np.float64).reshape(-1, 4) - (1, 1, 0, 0)
    return Objects(
        np.array([classes.index(_text(entry, "name")) for entry in found], np.int64),
        boxes / (width, height, width, height),
        np.array(hard, bool),
    )


_SIDES = ("xmin", "ymin", "xmax", "ymax")


def _mask(path: Path) -> np.ndarray:
    numbers = read_mask(path)
    return np.where(numbers == IGNORED, -1, numbers)


def _text(entry: ET.Element, name: str) -> str:
    text = entry.findtext(name)
    if text is None:
        raise ValueError(f"{name} is missing")
    return text.strip()


def _stems(path: Path, labels: Path, suffix: str, room: str) -> list[str]:
    for part in _PARTS:
        listed = path / "ImageSets" / room / f"{part}.txt"
        if listed.is_file():
            return [line.split()[0] for line in read_lines(listed) if line]
    return sorted(file.stem for file in labels.glob(f"*{suffix}")) if labels.is_dir() else []


def _picture(folder: Path, stem: str) -> Path:
    files = (folder / f"{stem}{suffix}" for suffix in _SUFFIXES)
    return next((file for file in files if file.is_file()), folder / f"{stem}{_SUFFIXES[0]}")
