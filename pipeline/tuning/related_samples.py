"""Samples for the search from records of related tasks; `pipeline.records.predict` uses these when compiling."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from tvmopt.pipeline.records.related import Relative, TransferQuery, evenly, nearest, threads_of
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.tuning.candidates import Candidates
from tvmopt.pipeline.tuning.cost_model import Samples
from tvmopt.schedules.workload import Workload

_RELATIVES = 6
_RECORDS_EACH = 64
_WEIGHT = 0.5


class RelatedSamples:
    """Samples for the cost model from the nearest relatives, looked up anew at each call.

    So a tuner that starts in the middle of a run learns from the tasks before it.
    """

    def __init__(self, store: RecordStore, subject: TransferQuery, candidates: Candidates) -> None:
        self._store, self._subject, self._candidates = store, subject, candidates
        self._features: dict[tuple[Workload, str, int], Samples] = {}

    def __call__(self) -> tuple[Samples, ...]:
        """At most `_RECORDS_EACH` records of each of `_RELATIVES` relatives; nearer ones weigh more."""
        relatives = nearest(self._store, self._subject)[:_RELATIVES]
        return tuple(sample for relative in relatives for sample in self._samples(relative))

    def _samples(self, relative: Relative) -> Iterator[Samples]:
        first = relative.records[0]
        key = (first.workload, first.target_key + first.cpu, len(relative.records))
        if key not in self._features:
            subject = self._subject
            target = dataclasses.replace(subject.target, threads=threads_of(first.target))
            if not subject.template.accepts(first.workload, target):
                return
            chosen = evenly(sorted(relative.records, key=lambda record: record.median_s or 0.0), _RECORDS_EACH)
            features = self._candidates.featurize(
                [record.config for record in chosen],
                lambda config: subject.template.features(first.workload, target, config),
            )
            speed = np.array([1.0 / (record.median_s or math.inf) for record in chosen])
            self._features[key] = Samples(features, speed, _WEIGHT / (1.0 + relative.distance))
        yield self._features[key]
