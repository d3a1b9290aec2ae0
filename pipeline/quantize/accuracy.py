"""The accuracy of a model before and after quantising, on a labelled set; and what accuracy control asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from tvmopt.pipeline.data.labelled.sample_set import LabelledSet, UnreadableSampleError
from tvmopt.pipeline.data.metrics.metric import Difference, Judge, Score, of_sample
from tvmopt.pipeline.data.preprocessing import Preprocessing
from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.quantize.types import finite
from tvmopt.pipeline.support.onnxruntime import open_session, run_session
from tvmopt.pipeline.types import TensorSpec

Tables = Mapping[int, np.ndarray]
"""A judgement for each sample, by its number in the set."""

_KEPT_BYTES = 1 << 28
"""Prepared inputs of at most so many bytes are kept for the next model."""

_TIE = 0.25
"""What the nearest outputs add when layers are compared, as a part of a sample: they only decide between equals."""


@dataclass(frozen=True, slots=True)
class LabelledTest:
    """What accuracy is measured on, and how.

    Attributes:
        samples: the set.
        preprocessing: how its samples become inputs.
        input: the model's input.
        outputs: names of the model's outputs, in order.
        judge: the metric, set up for both.
        title: what reports call the metric.
        percent: whether values are parts of 1, which reports show in per cent; a user's metric has a unit of its own.
    """

    samples: LabelledSet
    preprocessing: Preprocessing
    input: TensorSpec
    outputs: tuple[str, ...]
    judge: Judge
    title: str
    percent: bool = True


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Accuracy before and after.

    Attributes:
        metric: what reports call the metric that counts.
        before: of the model of floats: the values by name, the metric that counts first.
        after: of the quantised model.
        difference: how much higher the quantised model's is, on the same samples.
        samples: how many samples were judged.
        skipped: how many could not be read.
        all_quantized: of the model before layers were taken back to float; None where none were.
        notes: what a reader must know, one line each.
        percent: as `LabelledTest.percent`.
    """

    metric: str
    before: Mapping[str, Score]
    after: Mapping[str, Score]
    difference: Difference
    samples: int
    skipped: int = 0
    all_quantized: Score | None = None
    notes: tuple[str, ...] = ()
    percent: bool = True

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "metric": self.metric,
            "samples": self.samples,
            "skipped": self.skipped,
            "before": {name: _score(score) for name, score in self.before.items()},
            "after": {name: _score(score) for name, score in self.after.items()},
            "difference": _score(self.difference),
            "all_quantized": None if self.all_quantized is None else _score(self.all_quantized),
            "notes": list(self.notes),
        }


def _score(score: Score | Difference) -> dict[str, Any]:
    return {"value": finite(score.value), "interval": [finite(edge) for edge in score.interval]}


@dataclass(slots=True)
class _Inputs:
    """Samples as inputs of a model, the first of them kept."""

    test: LabelledTest
    kept: dict[int, np.ndarray] = field(default_factory=dict)
    nbytes: int = 0

    def of(self, number: int) -> np.ndarray:
        known = self.kept.get(number)
        if known is None:
            known = self.test.preprocessing.prepare(self.test.samples.read(number))
            if self.nbytes + known.nbytes <= _KEPT_BYTES:
                self.kept[number] = known
                self.nbytes += known.nbytes
        return known


class Examiner:
    """Measures models on one labelled set.

    Args:
        test: what to measure on.
        original: the model of floats; it is measured at once.
        tell: called for each sample with how many are done of how many.

    Attributes:
        skipped: samples that cannot be read.

    Raises:
        InputFileError: no sample can be read, or the user's metric fails; from `validate` also where the metric has no
            value for the samples.
    """

    def __init__(self, test: LabelledTest, original: onnx.ModelProto, tell: Callable[[int, int], None]) -> None:
        self.test, self.skipped = test, 0
        self._original, self._tell = original, tell
        self._inputs = _Inputs(test)
        self._original_session = open_session(original)
        self._reference: dict[int, list[np.ndarray]] = {}
        self.before: Tables = self._judged(original, range(len(test.samples)))
        self.numbers = list(self.before)
        self._last: tuple[onnx.ModelProto, Tables] = original, self.before
        self.first: Tables | None = None
        """Judgements on the first other model that was measured on all samples."""
        if not self.before:
            raise InputFileError(f"{test.samples.path}: none of the {len(test.samples)} samples can be read")
        self._value(self.before)  # a metric that fails does so before minutes of quantising

    def tables(self, model: onnx.ModelProto) -> Tables:
        """Judgements on all samples."""
        if self._last[0] is not model:
            self._last = model, self._judged(model, self.numbers)
        return self._last[1]

    def accuracy(self, model: onnx.ModelProto, taken_back: bool) -> Accuracy:
        """The accuracy of `model` beside the original's; `taken_back` if layers were."""
        before, after, judge = list(self.before.values()), list(self.tables(model).values()), self.test.judge
        first = judge.score(list(self.first.values()), self.numbers) if taken_back and self.first is not None else {}
        return Accuracy(
            self.test.title,
            judge.score(before, self.numbers),
            judge.score(after, self.numbers),
            judge.difference(after, before, self.numbers),
            len(self.numbers),
            self.skipped,
            next(iter(first.values()), None),
            tuple(judge.notes),
            self.test.percent,
        )

    def validate(self, model: onnx.ModelProto, places: Sequence[int]) -> tuple[float, list[float]]:
        """What accuracy control asks for: the metric, and for each sample how near its judgement is to the original's.

        Args:
            model: a model with some layers quantised, or the original.
            places: samples by their places among those that can be read. On fewer than all, layers are compared: there
                the model with the nearer outputs is better, if the metric is equal.
        """
        numbers = [self.numbers[place] for place in places]
        if len(numbers) == len(self.numbers):
            tables = self.tables(model)
            if self.first is None and model is not self._original:
                self.first = tables
            return self._whole_value(tables), [-_distance(tables[number], self.before[number]) for number in numbers]
        if model is self._original:
            return self._part_value({number: self.before[number] for number in numbers}), [0.0] * len(numbers)
        nearness: list[float] = []
        tables = self._judged(model, numbers, lambda number, outputs: nearness.append(self._nearness(number, outputs)))
        tie = _TIE * float(np.mean(nearness)) / len(self.numbers)
        return self._part_value(tables) + tie, [-_distance(tables[number], self.before[number]) for number in numbers]

    def _whole_value(self, tables: Tables) -> float:
        value = self._value(tables)
        if not math.isfinite(value):
            raise InputFileError(f"{self.test.samples.path}: {self.test.title} says nothing about these samples")
        return value

    def _part_value(self, tables: Tables) -> float:
        """The metric on some samples; 0 where it has no value for them, so that only nearness counts."""
        try:
            value = self._value(tables)
        except InputFileError:
            return 0.0
        return value if math.isfinite(value) else 0.0

    def _value(self, tables: Tables) -> float:
        return self.test.judge.value(list(tables.values()), list(tables))

    def _judged(
        self,
        model: onnx.ModelProto,
        numbers: Sequence[int],
        see: Callable[[int, list[np.ndarray]], None] | None = None,
    ) -> dict[int, np.ndarray]:
        tables: dict[int, np.ndarray] = {}
        session = self._original_session if model is self._original else open_session(model)
        for number, outputs in self._run(session, numbers):
            try:
                tables[number] = self.test.judge.judge(outputs, number)
            except UnreadableSampleError:
                self.skipped += 1
                continue
            if see is not None:
                see(number, outputs)
        return tables

    def _run(self, session: Any, numbers: Sequence[int]) -> Iterator[tuple[int, list[np.ndarray]]]:
        """The outputs for each sample that can be read, without the batch's dimension."""
        spec = self.test.input
        batch = spec.shape[0]
        waiting: list[tuple[int, np.ndarray]] = []
        for done, number in enumerate(numbers, 1):
            try:
                waiting.append((number, self._inputs.of(number)))
            except UnreadableSampleError:
                self.skipped += 1
            if waiting and (len(waiting) == batch or done == len(numbers)):
                stacked = np.resize(np.stack([array for _, array in waiting]), spec.shape)
                results = list(run_session(session, {spec.name: stacked}, self.test.outputs).values())
                for place, (known, _) in enumerate(waiting):
                    yield known, of_sample(results, place, batch)
                waiting = []
            self._tell(done, len(numbers))

    def _nearness(self, number: int, outputs: list[np.ndarray]) -> float:
        """1 where outputs are the original's, 0 where they have nothing in common with them."""
        if number not in self._reference:
            self._reference |= dict(self._run(self._original_session, [number]))
        return float(np.mean([_likeness(a, b) for a, b in zip(self._reference[number], outputs, strict=True)]))


def _likeness(reference: np.ndarray, outputs: np.ndarray) -> float:
    wanted, got = reference.astype(np.float64), outputs.astype(np.float64)
    signal, noise = float(np.square(wanted).sum()), float(np.square(got - wanted).sum())
    return max(0.0, 1.0 - noise / signal) if signal else float(noise == 0.0)


def _distance(table: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(table - other).sum()) if table.shape == other.shape else float(np.abs(table).sum() + 1)
