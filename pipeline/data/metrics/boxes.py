"""Mean average precision at an IoU of 0.5, as PASCAL VOC defines it from 2010 on: the area under the whole curve.

A detection is right when it overlaps an object of its class by at least half, each object once; those of difficult
objects count neither way (Everingham and others, The Pascal Visual Object Classes Challenge: A Retrospective, 2015).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tvmopt.pipeline.data.labelled.sample_set import Kind, LabelledSet, Objects
from tvmopt.pipeline.data.metrics.detections import Detections, Form, find_form
from tvmopt.pipeline.data.metrics.intervals import with_interval
from tvmopt.pipeline.data.metrics.metric import Difference, Judge, Score, Signature, Tables
from tvmopt.pipeline.data.preprocessing import picture_size

OVERLAP = 0.5
"""The least IoU of a right detection."""

_OBJECTS = math.inf
"""In the place of a score: the row counts a class's objects."""


@dataclass(frozen=True, slots=True)
class MeanAveragePrecision:
    """The mean over all classes with objects."""

    name: str = "map"
    title: str = "mAP at 0.5"
    needs: Kind | None = "boxes"
    key: str = "right detections and objects of each class, IoU 0.5"

    def fit(self, samples: LabelledSet, model: Signature) -> Judge:
        """As `Metric.fit`: finds the outputs with boxes, classes and scores."""
        form = find_form(model.outputs, picture_size(model.input))
        start = "1, behind the background" if form.from_one else "0"
        return PrecisionJudge(form, samples, (f"detections are read from {form.about}; classes count from {start}",))


@dataclass(frozen=True, slots=True)
class PrecisionJudge:
    """Judges by which detections are right.

    Attributes:
        form: how detections are read.
        samples: the set.
        notes: as `Judge.notes`.
    """

    form: Form
    samples: LabelledSet
    notes: tuple[str, ...]

    def judge(self, outputs: Sequence[np.ndarray], index: int) -> np.ndarray:
        """As `Judge.judge`: class, score, and whether it is right (1) or not (0), for each detection that counts.

        Then for each class with objects: class, infinity, how many objects it has that are not difficult.
        """
        found, objects = self.form.read(outputs), self.samples.label(index)
        rows = []
        for number in range(len(self.samples.classes)):
            mine = found.classes == number + self.form.from_one
            rows += [(number, *pair) for pair in _hits(_of(found, mine), _objects_of(objects, number))]
            wanted = int(((objects.classes == number) & ~objects.difficult).sum())
            rows += [(number, _OBJECTS, wanted)] if wanted else []
        return np.array(rows, dtype=np.float64).reshape(-1, 3)

    def score(self, tables: Tables, places: Sequence[int]) -> dict[str, Score]:
        """As `Judge.score`, from 0 to 1, with the bootstrap's interval over samples."""
        curves = _curves(tables)
        return {"mAP at 0.5": Score(*with_interval(len(tables), lambda weights: _mean(curves, weights)))}

    def value(self, tables: Tables, places: Sequence[int]) -> float:
        """As `Judge.value`."""
        return _mean(_curves(tables), np.ones(len(tables)))

    def difference(self, tables: Tables, others: Tables, places: Sequence[int]) -> Difference:
        """As `Judge.difference`: both on the same resamples."""
        ours, theirs = _curves(tables), _curves(others)
        return Difference(*with_interval(len(tables), lambda weights: _mean(ours, weights) - _mean(theirs, weights)))


def iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The shared over the joined area of one box with each of several, float64 of shape (boxes)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    joined = areas + np.prod(np.clip(box[2:] - box[:2], 0, None)) - shared
    parts: np.ndarray = np.divide(shared, joined, out=np.zeros_like(shared), where=joined > 0)
    return parts


def _hits(found: Detections, objects: Objects) -> list[tuple[float, float]]:
    """Score, and right or not, of the detections of one class in one picture; those of difficult objects left out."""
    taken = np.zeros(len(objects.boxes), bool)
    hits = []
    for place in np.argsort(-found.scores, kind="stable"):
        overlaps = iou(found.boxes[place], objects.boxes)
        best = int(overlaps.argmax()) if len(overlaps) else -1
        if best < 0 or overlaps[best] < OVERLAP:
            hits.append((float(found.scores[place]), 0.0))
        elif not objects.difficult[best]:
            hits.append((float(found.scores[place]), float(not taken[best])))
            taken[best] = True
    return hits


def _of(found: Detections, kept: np.ndarray) -> Detections:
    return Detections(found.classes[kept], found.scores[kept], found.boxes[kept])


def _objects_of(objects: Objects, number: int) -> Objects:
    kept = objects.classes == number
    return Objects(objects.classes[kept], objects.boxes[kept], objects.difficult[kept])


@dataclass(frozen=True, slots=True)
class _Curve:
    """One class: its detections, the surest first, and its objects.

    Attributes:
        samples: the place of each detection's sample.
        right: whether it is right.
        objects: how many objects each sample has, float64 of shape (samples).
    """

    samples: np.ndarray
    right: np.ndarray
    objects: np.ndarray


def _curves(tables: Tables) -> list[_Curve]:
    places = np.concatenate([np.full(len(table), place) for place, table in enumerate(tables)])
    rows = np.concatenate([*tables, np.zeros((0, 3))])
    counts = np.isinf(rows[:, 1])
    curves = []
    for number in np.unique(rows[counts, 0]):
        mine = rows[:, 0] == number
        objects = np.bincount(places[mine & counts], rows[mine & counts, 2], minlength=len(tables))
        scored = np.flatnonzero(mine & ~counts)
        ordered = scored[np.argsort(-rows[scored, 1], kind="stable")]
        curves.append(_Curve(places[ordered], rows[ordered, 2], objects))
    return curves


def _mean(curves: Sequence[_Curve], weights: np.ndarray) -> float:
    precisions = [_average_precision(curve, weights) for curve in curves]
    kept = [value for value in precisions if not math.isnan(value)]
    return math.fsum(kept) / len(kept) if kept else math.nan


def _average_precision(curve: _Curve, weights: np.ndarray) -> float:
    """The area under precision over recall, precision made falling; samples count by `weights`."""
    objects = float(curve.objects @ weights)
    if not objects:
        return math.nan
    counted = weights[curve.samples].astype(np.float64)
    right, all_found = np.cumsum(counted * curve.right), np.cumsum(counted)
    precision = np.divide(right, all_found, out=np.zeros_like(right), where=all_found > 0)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float((falling * np.diff(right / objects, prepend=0.0)).sum())
