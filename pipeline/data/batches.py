"""Reads and prepares samples of a labelled set, in batches of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from tvmopt.pipeline.data.labelled.sample_set import LabelledSet, UnreadableSampleError
from tvmopt.pipeline.data.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True)
class Prepared:
    """Samples as inputs of a model.

    Attributes:
        places: their numbers in the set.
        inputs: of shape (samples, …), in that order.
        skipped: why each sample that is missing cannot be read, by its number.
    """

    places: tuple[int, ...]
    inputs: np.ndarray
    skipped: dict[int, str]

    def batches(self, size: int) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
        """The samples' numbers, and an input of `size` samples, again and again; the last repeats its last sample."""
        for start in range(0, len(self.places), size):
            part = self.inputs[start : start + size]
            filled = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
            yield self.places[start : start + size], filled


def prepare_samples(samples: LabelledSet, places: Iterable[int], preprocessing: Preprocessing) -> Prepared:
    """Reads the samples at `places` and prepares them; what cannot be read is left out.

    Raises:
        ModelInputError, InputFileError: as `Preprocessing.prepare`.
    """
    kept, inputs, skipped = [], [], {}
    for place in places:
        try:
            sample = samples.read(place)
        except UnreadableSampleError as error:
            skipped[place] = str(error)
            continue
        inputs.append(preprocessing.prepare(sample))
        kept.append(place)
    stacked = np.stack(inputs) if inputs else np.zeros((0, *preprocessing.shape), np.float32)
    return Prepared(tuple(kept), stacked, skipped)


def some_inputs(samples: LabelledSet, count: int, preprocessing: Preprocessing) -> np.ndarray:
    """The first `count` samples that can be read, as inputs; fewer if the set has no more."""
    inputs = [preprocessing.prepare(sample) for sample in samples.readable(count)]
    return np.stack(inputs) if inputs else np.zeros((0, *preprocessing.shape), np.float32)
