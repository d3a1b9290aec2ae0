"""A user's metric: a function in a Python file, from all outputs and labels to one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tvmopt.pipeline.data.labelled.sample_set import Kind, LabelledSet
from tvmopt.pipeline.data.metrics.intervals import bootstrap
from tvmopt.pipeline.data.metrics.metric import Difference, Judge, Score, Signature, Tables
from tvmopt.pipeline.errors import InputFileError

RESAMPLES = 100
"""Bootstrap resamples: each is a call of the user's function."""


@dataclass(frozen=True, slots=True)
class OwnMetric:
    """``path.py:function(outputs, labels) -> float``.

    Attributes:
        name: as the user wrote it.
        function: what it names.
    """

    name: str
    function: Callable[..., Any]
    needs: Kind | None = None

    @property
    def title(self) -> str:
        """The function's name."""
        return self.name.rpartition(":")[2]

    @property
    def key(self) -> str:
        """The outputs themselves, whatever the function makes of them."""
        return "outputs"

    def fit(self, samples: LabelledSet, model: Signature) -> Judge:
        """As `Metric.fit`."""
        batch = model.batch
        shapes = tuple(spec.shape[1:] if spec.shape[:1] == (batch,) else spec.shape for spec in model.outputs)
        return OwnJudge(self, samples, shapes)


@dataclass(frozen=True, slots=True)
class OwnJudge:
    """Keeps the outputs, and calls the function with those of all samples.

    Attributes:
        metric: the user's.
        samples: the set.
        shapes: of each output for one sample.
        notes: as `Judge.notes`.
    """

    metric: OwnMetric
    samples: LabelledSet
    shapes: tuple[tuple[int, ...], ...]
    notes: tuple[str, ...] = ()

    def judge(self, outputs: Sequence[np.ndarray], index: int) -> np.ndarray:
        """As `Judge.judge`: a row of all elements of all outputs."""
        self.samples.label(index)  # a sample whose label cannot be read is skipped
        return np.concatenate([np.ravel(output) for output in outputs]).astype(np.float64)[None]

    def score(self, tables: Tables, places: Sequence[int]) -> dict[str, Score]:
        """As `Judge.score`, in the function's own unit, with the bootstrap's interval over samples."""
        value = self.value(tables, places)
        interval = bootstrap(len(tables), lambda weights: self._of(tables, places, weights), RESAMPLES)
        return {self.metric.title: Score(value, interval)}

    def difference(self, tables: Tables, others: Tables, places: Sequence[int]) -> Difference:
        """As `Judge.difference`: both on the same resamples."""

        def difference(weights: np.ndarray) -> float:
            return self._of(tables, places, weights) - self._of(others, places, weights)

        value = self.value(tables, places) - self.value(others, places)
        return Difference(value, bootstrap(len(tables), difference, RESAMPLES))

    def _of(self, tables: Tables, places: Sequence[int], weights: np.ndarray) -> float:
        """The value of a resample; NaN where the function has none for it, as for one of a single class."""
        try:
            return self.value(*_repeated(tables, places, weights))
        except InputFileError:
            return math.nan

    def value(self, tables: Tables, places: Sequence[int]) -> float:
        """As `Judge.value`, in the function's own unit."""
        rows = np.concatenate(list(tables)).astype(np.float32)
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])
        parts = np.split(rows, ends[:-1], axis=1)
        outputs = [part.reshape(len(rows), *shape) for part, shape in zip(parts, self.shapes, strict=True)]
        labels = [self.samples.label(place) for place in places]
        given: Any = np.array(labels) if self.samples.numbers else labels
        result = self.metric.function(outputs[0] if len(outputs) == 1 else outputs, given)
        return number_from(result, self.metric.name)


def number_from(result: Any, name: str) -> float:
    """The number that the user's metric `name` returned.

    Raises:
        InputFileError: it is none, or NaN or infinite.
    """
    try:
        value = float(result)
    except (TypeError, ValueError):
        raise InputFileError(f"--metric {name}: returned {_shown(result)}, where a number was expected") from None
    if not math.isfinite(value):
        raise InputFileError(f"--metric {name}: returned {value}, where a finite number was expected")
    return value


def _shown(result: Any) -> str:
    text = " ".join(repr(result).split())
    return f"{type(result).__name__} {text if len(text) <= 40 else text[:37] + '...'}"


def _repeated(tables: Tables, places: Sequence[int], weights: np.ndarray) -> tuple[Tables, Sequence[int]]:
    chosen = [int(at) for at in np.repeat(np.arange(len(tables)), weights)]
    return [tables[at] for at in chosen], [places[at] for at in chosen]
