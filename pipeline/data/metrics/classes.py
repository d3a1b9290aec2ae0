"""Top-1 and top-5: whether the right class is the model's first, or among its first five."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tvmopt.pipeline.data.labelled.sample_set import Kind, LabelledSet
from tvmopt.pipeline.data.metrics.intervals import mcnemar, paired_difference, wilson
from tvmopt.pipeline.data.metrics.metric import Difference, Judge, Score, Signature, Tables
from tvmopt.pipeline.errors import ModelInputError
from tvmopt.pipeline.types import TensorSpec


@dataclass(frozen=True, slots=True)
class TopMetric:
    """Whether the right class is among the first `first`."""

    first: int
    needs: Kind | None = "classes"

    @property
    def name(self) -> str:
        """``top1`` or ``top5``."""
        return f"top{self.first}"

    @property
    def title(self) -> str:
        """``top-1`` or ``top-5``."""
        return f"top-{self.first}"

    @property
    def key(self) -> str:
        """The rank of the right class serves both."""
        return "rank of the right class"

    def fit(self, samples: LabelledSet, model: Signature) -> Judge:
        """As `Metric.fit`: finds the output that has a value for each class, and the number of the first class."""
        place, count = _scores(model.outputs, model.batch)
        spec = model.outputs[place]
        offset, notes = _offset(samples, count, spec)
        if len(model.outputs) > 1:
            notes = (f"classes are read from the output {spec.name}", *notes)
        if self.first > 1 and count <= self.first:
            raise ModelInputError(f"{self.name} says nothing about a model of {count} classes: take top1")
        return TopJudge(self.first, place, count, offset, samples, notes)


@dataclass(frozen=True, slots=True)
class TopJudge:
    """Judges by the rank of the right class, from 0.

    Attributes:
        first: how many of the first classes count.
        place: the number of the output with the classes' scores.
        count: how many classes the model has; 0 where it gives a class's number itself.
        offset: what is added to a label.
        samples: the set.
        notes: as `Judge.notes`.
    """

    first: int
    place: int
    count: int
    offset: int
    samples: LabelledSet
    notes: tuple[str, ...]

    def judge(self, outputs: Sequence[np.ndarray], index: int) -> np.ndarray:
        """As `Judge.judge`: the rank, 1×1. Of equal scores the first counts; a NaN anywhere is as wrong as can be."""
        label = self.samples.label(index) + self.offset
        values = np.ravel(outputs[self.place])
        if not self.count:
            return _table(0 if values[0] == label else self.first)
        if np.isnan(values).any():
            return _table(self.count)
        return _table(int((values > values[label]).sum() + (values[:label] == values[label]).sum()))

    def score(self, tables: Tables, places: Sequence[int]) -> dict[str, Score]:
        """As `Judge.score`, from 0 to 1, by Wilson; top-1 and top-5, as far as the model has so many classes."""
        ranks = _ranks(tables)
        shown = [self.first, *(first for first in (1, 5) if first != self.first and self.count > first)]
        return {f"top-{first}": _proportion(int((ranks < first).sum()), len(ranks)) for first in shown}

    def value(self, tables: Tables, places: Sequence[int]) -> float:
        """As `Judge.value`."""
        return float((_ranks(tables) < self.first).mean())

    def difference(self, tables: Tables, others: Tables, places: Sequence[int]) -> Difference:
        """As `Judge.difference`, by Bonett and Price, with McNemar's exact test."""
        ours, theirs = _ranks(tables) < self.first, _ranks(others) < self.first
        gained, lost = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
        value, interval = paired_difference(gained, lost, len(ours))
        return Difference(value, interval, mcnemar(gained, lost))


def _scores(outputs: Sequence[TensorSpec], batch: int) -> tuple[int, int]:
    """The output that has a value for each class, the first with most, and how many; 0 for a class's number."""
    sizes = [_size(spec, batch) for spec in outputs]
    most = max(sizes, default=0)
    if most >= 2:
        return sizes.index(most), most
    if most == 1:
        place = sizes.index(1)
        if outputs[place].dtype.startswith(("int", "uint")):
            return place, 0
    listed = ", ".join(f"{spec.name} {spec.shape}" for spec in outputs)
    raise ModelInputError(
        f"no output has a value for each class (the model has {listed}); --metric path.py:function can judge others"
    )


def _size(spec: TensorSpec, batch: int) -> int:
    """Values for one sample of an output that has one vector for each; 0 for others."""
    if not spec.shape:
        return 0
    if spec.shape[0] != batch:
        return 0
    large = [size for size in spec.shape[1:] if size > 1]
    return (large[0] if large else 1) if len(large) < 2 else 0


def _offset(samples: LabelledSet, count: int, spec: TensorSpec) -> tuple[int, tuple[str, ...]]:
    """What is added to a label, and what to say about it."""
    largest, known = max(samples.largest, *samples.numbers), len(samples.classes)
    if not count:
        return 0, ()
    # Folders of pictures may be one short, because a class has none: only a list, or ImageNet's number, tells.
    every = samples.complete or known == _IMAGENET
    if count == known + 1 and every if known else count == _IMAGENET + 1 and largest < _IMAGENET:
        return 1, (f"the model has {count} classes, the first of them the background: labels are counted from 1",)
    if known and not samples.complete and known != count:
        raise ModelInputError(
            f"{samples.path} has folders for {known} classes, but the model's output {spec.name} has {count}: name the "
            "folders by number, or list all classes in classes.txt"
        )
    if largest >= count:
        raise ModelInputError(
            f"labels do not fit the model: they go up to {largest}, but its output {spec.name} has {count} classes"
        )
    return 0, ()


_IMAGENET = 1000


def _proportion(right: int, count: int) -> Score:
    return Score(right / count, wilson(right, count))


def _ranks(tables: Tables) -> np.ndarray:
    return np.concatenate([table[:, 0] for table in tables])


def _table(rank: int) -> np.ndarray:
    return np.array([[rank]], dtype=np.float64)
