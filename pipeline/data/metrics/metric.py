"""What a metric is: how it judges the outputs for one sample, and what many judgements come to.

A judgement is a small table of numbers, float64. A run can be stopped and resumed, and two runs compared sample by
sample, with nothing but these tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tvmopt.pipeline.data.labelled.sample_set import Kind, LabelledSet
from tvmopt.pipeline.errors import ModelInputError
from tvmopt.pipeline.types import TensorSpec


@dataclass(frozen=True, slots=True)
class Score:
    """The value of a metric, and its 95 % interval."""

    value: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Difference:
    """How much higher one value is than another on the same samples, with the 95 % interval of the difference.

    Attributes:
        value: the difference.
        interval: its interval.
        chance: the probability of a difference as large if there were none (McNemar's exact test); None for metrics
            that judge more than right or wrong.
    """

    value: float
    interval: tuple[float, float]
    chance: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the interval does not cover zero."""
        return not self.interval[0] <= 0.0 <= self.interval[1]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives.

    Attributes:
        input: its only input, the batch first.
        outputs: its outputs.
    """

    input: TensorSpec
    outputs: tuple[TensorSpec, ...]

    @property
    def batch(self) -> int:
        """The batch size."""
        return self.input.shape[0]


Tables = Sequence[np.ndarray]
"""A judgement for each sample."""


class Judge(Protocol):
    """A metric, set up for a set and for the outputs of a model."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know to judge the numbers, one line each."""

    def judge(self, outputs: Sequence[np.ndarray], index: int) -> np.ndarray:
        """The judgement on the outputs for the sample number `index`, each without the batch's dimension.

        Raises:
            UnreadableSampleError: the sample's label cannot be read.
            ModelInputError: the outputs are not what the metric needs.
        """

    def score(self, tables: Tables, places: Sequence[int]) -> dict[str, Score]:
        """The values by the names of columns, the metric itself first.

        Args:
            tables: judgements on at least one sample.
            places: the numbers of their samples.

        Raises:
            TvmoptError: a user's function raises, or returns no number.
        """

    def value(self, tables: Tables, places: Sequence[int]) -> float:
        """The metric alone, without an interval, which takes far less time.

        Args:
            tables: as in `score`.
            places: as in `score`.

        Raises:
            TvmoptError: as `score` does.
        """

    def difference(self, tables: Tables, others: Tables, places: Sequence[int]) -> Difference:
        """How much higher the metric is by `tables` than by `others`, judgements on the same samples."""


class Metric(Protocol):
    """A metric that the command line knows."""

    @property
    def name(self) -> str:
        """Its name on the command line."""

    @property
    def title(self) -> str:
        """What reports call it."""

    @property
    def needs(self) -> Kind | None:
        """The kind of labels that it needs; None for any."""

    @property
    def key(self) -> str:
        """Equal only for metrics whose judgements mean the same."""

    def fit(self, samples: LabelledSet, model: Signature) -> Judge:
        """Sets it up.

        Args:
            samples: a set with labels of the kind that it needs.
            model: what the model takes and gives.

        Raises:
            ModelInputError: labels and outputs do not go together.
        """


def of_sample(outputs: Sequence[np.ndarray], place: int, batch: int) -> list[np.ndarray]:
    """The outputs for the sample at `place` of a batch, each without the batch's dimension.

    Raises:
        ModelInputError: an output of several samples has no dimension for them.
    """
    parts = []
    for output in outputs:
        if output.shape[:1] == (batch,):
            parts.append(output[place])
        elif batch == 1:
            parts.append(output)
        else:
            raise ModelInputError(
                f"an output of shape {output.shape} does not tell the {batch} samples of a batch apart: use batch 1"
            )
    return parts
