"""Reads boxes, classes and scores from the outputs of a detector, in the forms that frameworks give them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tvmopt.pipeline.errors import ModelInputError
from tvmopt.pipeline.types import TensorSpec

_NORMAL = 2.0
"""Coordinates that are all below this are parts of the picture, not pixels: boxes may reach beyond its edges."""


@dataclass(frozen=True, slots=True)
class Detections:
    """What a detector found in one picture.

    Attributes:
        classes: int64 of shape (found), as the model numbers them.
        scores: float64 of shape (found).
        boxes: float64 of shape (found, 4): left, top, right, bottom, as parts of the picture's width and height.
    """

    classes: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray


Reader = Callable[[Sequence[np.ndarray]], Detections]


@dataclass(frozen=True, slots=True)
class Form:
    """How the outputs of a detector are read.

    Attributes:
        about: in words.
        read: reads the outputs for one sample, without the batch's dimension.
        from_one: whether the first object class is numbered 1, with the background as 0.
    """

    about: str
    read: Reader
    from_one: bool


def find_form(outputs: Sequence[TensorSpec], input_size: tuple[int, int]) -> Form:
    """How the outputs of a detector are read.

    Args:
        outputs: the model's outputs.
        input_size: width and height of the model's input, for boxes in pixels.

    Raises:
        ModelInputError: they have none of the known forms.
    """
    names = {spec.name.rpartition("/")[2].partition(":")[0].lower(): place for place, spec in enumerate(outputs)}
    for place, spec in enumerate(outputs):
        if len(spec.shape) >= 2 and spec.shape[-1] == 7:
            return Form(f"rows of {spec.name}: picture, class, score, box (SSD's)", _rows_of_seven(place), True)
    if {"detection_boxes", "detection_classes", "detection_scores"} <= set(names):
        places = (names["detection_boxes"], names["detection_classes"], names["detection_scores"])
        return Form("detection_boxes, -classes and -scores (TensorFlow's)", _tensorflow(*places, input_size), True)
    parts = [next((names[name] for name in names if name in aliases), None) for aliases in _ALIASES]
    boxes, classes, scores = parts
    if boxes is not None and classes is not None and scores is not None:
        return Form("boxes, labels and scores (torchvision's)", _three(boxes, classes, scores, input_size), True)
    listed = ", ".join(f"{spec.name} {spec.shape}" for spec in outputs)
    raise ModelInputError(
        "map reads outputs named boxes, labels and scores, TensorFlow's detection_boxes, -classes and -scores, or "
        f"SSD's rows of seven; the model has {listed}: --metric path.py:function can judge others"
    )


_ALIASES = (
    ("boxes", "box", "bboxes", "final_boxes"),
    ("labels", "classes", "class_ids", "label"),
    ("scores", "score", "confidences"),
)


def _rows_of_seven(place: int) -> Reader:
    def read(outputs: Sequence[np.ndarray]) -> Detections:
        rows = outputs[place].reshape(-1, 7).astype(np.float64)
        rows = rows[(rows[:, 0] >= 0) & np.isfinite(rows).all(axis=1)]
        return Detections(rows[:, 1].astype(np.int64), rows[:, 2], rows[:, 3:])

    return read


def _three(boxes: int, classes: int, scores: int, size: tuple[int, int]) -> Reader:
    def read(outputs: Sequence[np.ndarray]) -> Detections:
        found = outputs[boxes].reshape(-1, 4).astype(np.float64)
        kept = outputs[scores].ravel()[: len(found)].astype(np.float64)
        parts = as_parts(found, size, kept)
        return _finite(outputs[classes].ravel()[: len(found)].astype(np.int64), kept, parts)

    return read


def _tensorflow(boxes: int, classes: int, scores: int, size: tuple[int, int]) -> Reader:
    """As `_three`, but a box is top, left, bottom, right."""
    plain = _three(boxes, classes, scores, size[::-1])

    def read(outputs: Sequence[np.ndarray]) -> Detections:
        found = plain(outputs)
        return Detections(found.classes, found.scores, found.boxes[:, [1, 0, 3, 2]])

    return read


def as_parts(boxes: np.ndarray, size: tuple[int, int], scores: np.ndarray) -> np.ndarray:
    """Boxes as parts of the picture, from parts or from pixels of the model's input of `size`.

    The middle one of those with a score above 0 tells: a single box far outside the picture, or what fills up a list,
    does not.
    """
    told = boxes[(scores > 0) & np.isfinite(boxes).all(axis=1)]
    if not len(told) or np.median(np.abs(told).max(axis=1)) < _NORMAL:
        return boxes
    return boxes / (*size, *size)


def _finite(classes: np.ndarray, scores: np.ndarray, boxes: np.ndarray) -> Detections:
    whole = np.isfinite(scores) & np.isfinite(boxes).all(axis=1) & (scores > 0)
    return Detections(classes[whole], scores[whole], boxes[whole])
