"""Mean IoU: of each class, the pixels that prediction and label share over those that either has; then the mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tvmopt.pipeline.data.labelled.sample_set import Kind, LabelledSet, UnreadableSampleError
from tvmopt.pipeline.data.metrics.intervals import with_interval
from tvmopt.pipeline.data.metrics.metric import Difference, Judge, Score, Signature, Tables
from tvmopt.pipeline.errors import ModelInputError
from tvmopt.pipeline.types import TensorSpec


@dataclass(frozen=True, slots=True)
class MeanIou:
    """The mean over all classes that appear, the background among them."""

    name: str = "miou"
    title: str = "mean IoU"
    needs: Kind | None = "masks"
    key: str = "shared and joined pixels of each class"

    def fit(self, samples: LabelledSet, model: Signature) -> Judge:
        """As `Metric.fit`: finds the output that has a class, or a value for each class, for each pixel."""
        outputs, batch = model.outputs, model.batch
        for place, spec in enumerate(outputs):
            sizes = spec.shape[1:]
            if len(spec.shape) == 4 and spec.shape[0] == batch:
                axis = int(np.argmin(sizes)) if min(sizes) > 1 else next(a for a in (0, 2, 1) if sizes[a] == 1)
                return IouJudge(place, axis, samples, _notes(outputs, spec))
            if len(spec.shape) == 3 and spec.shape[0] == batch:
                return IouJudge(place, None, samples, _notes(outputs, spec))
        listed = ", ".join(f"{spec.name} {spec.shape}" for spec in outputs)
        raise ModelInputError(f"miou needs an output with a value for each class and pixel; the model has {listed}")


@dataclass(frozen=True, slots=True)
class IouJudge:
    """Judges by the pixels of each class.

    Attributes:
        place: the number of the output.
        axis: that of the classes in it, without the batch; None where it has classes' numbers.
        samples: the set.
        notes: as `Judge.notes`.
    """

    place: int
    axis: int | None
    samples: LabelledSet
    notes: tuple[str, ...]

    def judge(self, outputs: Sequence[np.ndarray], index: int) -> np.ndarray:
        """As `Judge.judge`: a row for each class that appears: class, shared pixels, joined pixels.

        The prediction is stretched to the mask, each pixel from the nearest.
        """
        mask = self.samples.label(index)
        values = outputs[self.place]
        if self.axis is not None:
            values = values.argmax(axis=self.axis) if values.shape[self.axis] > 1 else np.squeeze(values, self.axis)
        predicted = _stretched(values.astype(np.int64), mask.shape)
        counted = mask >= 0
        if not counted.any():
            raise UnreadableSampleError(f"{self.samples.names[index]}: no pixel of its mask has a class")
        mask, predicted = mask[counted], predicted[counted]
        rows = []
        for number in np.union1d(mask, predicted):
            either = (mask == number) | (predicted == number)
            both = (mask == number) & (predicted == number)
            rows.append((number, both.sum(), either.sum()))
        return np.array(rows, dtype=np.float64)

    def score(self, tables: Tables, places: Sequence[int]) -> dict[str, Score]:
        """As `Judge.score`, from 0 to 1, with the bootstrap's interval over samples."""
        sums = _sums(tables)
        return {"mean IoU": Score(*with_interval(len(tables), lambda weights: _mean(sums, weights)))}

    def value(self, tables: Tables, places: Sequence[int]) -> float:
        """As `Judge.value`."""
        return _mean(_sums(tables), np.ones(len(tables)))

    def difference(self, tables: Tables, others: Tables, places: Sequence[int]) -> Difference:
        """As `Judge.difference`: both on the same resamples."""
        ours, theirs = _sums(tables), _sums(others)
        return Difference(*with_interval(len(tables), lambda weights: _mean(ours, weights) - _mean(theirs, weights)))


def _notes(outputs: Sequence[TensorSpec], spec: TensorSpec) -> tuple[str, ...]:
    return (f"classes are read from the output {spec.name}",) if len(outputs) > 1 else ()


def _stretched(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = (np.arange(size) * have // size for size, have in zip(shape, values.shape, strict=True))
    stretched: np.ndarray = values[rows[:, None], columns]
    return stretched


def _sums(tables: Tables) -> np.ndarray:
    """Shared and joined pixels, float64 of shape (samples, classes, 2)."""
    count = 1 + max((int(table[:, 0].max()) for table in tables if len(table)), default=0)
    sums = np.zeros((len(tables), count, 2))
    for place, table in enumerate(tables):
        sums[place, table[:, 0].astype(np.int64)] = table[:, 1:]
    return sums


def _mean(sums: np.ndarray, weights: np.ndarray) -> float:
    shared, joined = np.tensordot(weights.astype(np.float64), sums, axes=1).T
    seen = joined > 0
    return float((shared[seen] / joined[seen]).mean()) if seen.any() else math.nan
