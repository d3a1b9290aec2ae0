"""Search with a cost model: measures the configs that it predicts to be fast, and some random ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tvmopt.pipeline.tuning.candidates import Candidates
from tvmopt.pipeline.tuning.cost_model import CostModel, Samples
from tvmopt.pipeline.tuning.tuners.base import OnceEach

Related = Callable[[], Sequence[Samples]]
"""Gives the samples of other tasks that are known by now."""

_FIRST_RANDOM = 4
_EXPLORATION = 0.1
_DIVERSITY = 0.3


class XGBoostTuner(OnceEach):
    """Begins at random (or with related tasks' samples), then follows the cost model.

    Spaces have a few thousand configs at most, so the model scores them all; no walk through the space is needed. A
    share of `_EXPLORATION` of each batch is random. The rest have the best scores, each lowered by up to `_DIVERSITY`
    standard deviations for similarity to configs already in the batch: a batch of near copies would teach little.
    """

    def __init__(self, candidates: Candidates, seed: int, related: Related = tuple) -> None:
        super().__init__(candidates, seed)
        self._seed = seed
        self._related = related

    def _choose(self, count: int) -> list[int]:
        groups = [*self._own(), *self._related()]
        if sum(len(group.speed) for group in groups) < _FIRST_RANDOM:
            return self._any_open(min(count, _FIRST_RANDOM))
        explore = int(self.random.binomial(count, _EXPLORATION))
        chosen = self._most_promising(CostModel(groups, self._seed), count - explore)
        self.is_open[chosen] = False
        return chosen + self._any_open(explore)

    def _own(self) -> list[Samples]:
        if not any(self.speed.values()):
            return []
        positions = list(self.speed)
        return [Samples(self.candidates.features[positions], np.array([self.speed[p] for p in positions]))]

    def _most_promising(self, model: CostModel, count: int) -> list[int]:
        choices = np.flatnonzero(self.is_open)
        scores = model.predict(self.candidates.features[choices])
        scores = (scores - scores.mean()) / (scores.std() + 1e-9)
        scores += self.random.random(len(scores)).astype(np.float32) * 1e-6  # equal scores in random order
        levels = self.candidates.levels[choices]
        penalty = np.zeros(len(choices))
        chosen: list[int] = []
        for _ in range(count):
            pick = int(np.argmax(scores - penalty))
            chosen.append(int(choices[pick]))
            # 0 up to half of the knobs in common, 1 with all in common.
            likeness = np.maximum(0.0, 2.0 * (levels == levels[pick]).mean(axis=1) - 1.0)
            penalty = np.maximum(penalty, _DIVERSITY * likeness)
            penalty[pick] = np.inf
        return chosen
