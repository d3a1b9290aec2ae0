"""A labelled set: samples in a fixed order, each read when it is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tvmopt.pipeline.errors import InputFileError

Kind = Literal["classes", "boxes", "masks"]
"""What the labels are: a class for each sample, objects with their boxes, or a class for each pixel."""


class UnreadableSampleError(Exception):
    """A sample, or its label, cannot be read: it is skipped and counted; one line."""


@dataclass(frozen=True, slots=True)
class Objects:
    """What a picture shows.

    Attributes:
        classes: int64 of shape (objects), the index of each one's class.
        boxes: float64 of shape (objects, 4): left, top, right, bottom, as parts of the picture's width and height.
        difficult: bool of shape (objects): those that neither help nor harm when they are found.
    """

    classes: np.ndarray
    boxes: np.ndarray
    difficult: np.ndarray


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """Samples with their labels.

    Attributes:
        form: what kind of files it is, such as ``folders by class``.
        path: where it is.
        kind: what the labels are.
        names: a name for each sample, in order.
        read: the sample number `i`: a picture (height × width × channels, uint8, 1 or 3 channels), or an input of the
            model as it is, without the batch's dimension; raises `UnreadableSampleError`.
        label: the label of the sample number `i`: an int, `Objects`, or a mask (height × width, int64, -1 where a pixel
            has no class); raises `UnreadableSampleError`.
        numbers: the label of each sample where they are classes; empty otherwise.
        classes: names of the classes, by number; empty where the set only numbers them.
        complete: whether `classes` are known to be all that there are, in the order of the numbers.
        pictures: whether samples are pictures, which still have to be prepared.
        largest: of a part, the largest number of a class in the whole set; -1 where that is in `numbers`.
        fingerprint: differs where the files do.
    """

    form: str
    path: Path
    kind: Kind
    names: Sequence[str]
    read: Callable[[int], np.ndarray]
    label: Callable[[int], Any]
    numbers: Sequence[int] = ()
    classes: tuple[str, ...] = ()
    complete: bool = False
    pictures: bool = True
    largest: int = -1
    fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.names)

    def part(self, places: Sequence[int]) -> LabelledSet:
        """The samples at `places`, in that order."""
        kept = list(places)
        return replace(
            self,
            names=[self.names[place] for place in kept],
            numbers=[self.numbers[place] for place in kept] if self.numbers else (),
            largest=max(self.largest, *self.numbers) if self.numbers else -1,
            read=lambda index: self.read(kept[index]),
            label=lambda index: self.label(kept[index]),
            fingerprint=hashlib.sha256(f"{self.fingerprint} {kept}".encode()).hexdigest(),
        )

    def random_part(self, count: int | None, seed: int = 0) -> LabelledSet:
        """`count` samples chosen at random, in the set's order; all of them when it has no more, or `count` is None."""
        if count is None or count >= len(self):
            return self
        chosen = np.random.default_rng(seed).choice(len(self), count, replace=False)
        return self.part(sorted(int(place) for place in chosen))

    def readable(self, count: int | None = None) -> Iterator[np.ndarray]:
        """The first `count` samples that can be read, or all of them."""
        given = 0
        for index in range(len(self)):
            if given == count:
                return
            try:
                sample = self.read(index)
            except UnreadableSampleError:
                continue
            given += 1
            yield sample


def files_fingerprint(root: Path, files: Iterable[Path]) -> str:
    """A hash over names, sizes and times of `files`; of those that lie in `root`, names count from there."""
    hashed = hashlib.sha256()
    for path in files:
        try:
            status = path.stat()
        except OSError:
            hashed.update(f"{path.name} missing\n".encode())
            continue
        name = path.relative_to(root) if path.is_relative_to(root) else path
        hashed.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return hashed.hexdigest()


def require_classes(labels: Sequence[int], path: Path, classes: Sequence[str] = ()) -> None:
    """Checks that labels tell something apart.

    Raises:
        InputFileError: all samples have one class.
    """
    if len(set(labels)) == 1:
        named = f" ({classes[labels[0]]})" if classes else f" (number {labels[0]})"
        raise InputFileError(
            f"{path}: all {len(labels)} samples are of one class{named}; accuracy needs samples of at least two"
        )
