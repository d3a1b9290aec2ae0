"""Tiny labelled sets, written to disk as users have them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from PIL import Image

ANNOTATION = """<annotation><size><width>{width}</width><height>{height}</height><depth>3</depth></size>{objects}
</annotation>"""
OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{0}</xmin><ymin>{1}</ymin>
<xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object>"""


def save_picture(path: Path, array: np.ndarray) -> Path:
    """Writes a picture (height × width, or × 3, uint8) and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def save_plain(path: Path, colour: int | tuple[int, int, int], size: tuple[int, int] = (9, 7)) -> Path:
    """Writes a picture of one colour; `size` is width and height."""
    values = (colour,) if isinstance(colour, int) else colour
    plane = np.broadcast_to(np.array(values, np.uint8), (size[1], size[0], len(values)))
    return save_picture(path, plane[..., 0] if len(values) == 1 else plane)


def save_folders(root: Path, names: tuple[str, ...] = ("0", "1", "2"), count: int = 3) -> Path:
    """A folder for each class: of class `k`, the channel `k` is bright, by more from picture to picture."""
    for place, name in enumerate(names):
        for number in range(count):
            colour = [10, 10, 10]
            colour[place % 3] = 200 + number % 50
            save_plain(root / name / f"{number}.png", (colour[0], colour[1], colour[2]))
    return root


def idx_bytes(array: np.ndarray) -> bytes:
    """An idx file of bytes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.astype(np.uint8).tobytes()


def save_idx(root: Path, images: np.ndarray, labels: np.ndarray, part: str = "t10k", packed: bool = True) -> Path:
    """MNIST's two files."""
    root.mkdir(parents=True, exist_ok=True)
    for name, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
        content = idx_bytes(array)
        path = root / f"{part}-{name}{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(content, 1) if packed else content)
    return root


def save_annotation(path: Path, size: tuple[int, int], *objects: tuple[str, tuple[int, int, int, int], bool]) -> None:
    """VOC's annotation of a picture: each object's class, box in pixels from 1, and whether it is difficult."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = "".join(OBJECT.format(*box, name=name, difficult=int(hard)) for name, box, hard in objects)
    path.write_text(ANNOTATION.format(width=size[0], height=size[1], objects=entries))
