"""Genetic search: children of the fastest configs so far."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.tuning.candidates import Candidates
from tvmopt.pipeline.tuning.tuners.base import OnceEach

Genes = npt.NDArray[np.int32]
"""The index of each knob's value."""

_PARENTS = 16
_TOURNAMENT = 3
_MUTATION = 0.2
_ATTEMPTS = 32


class GeneticTuner(OnceEach):
    """Keeps the fastest `_PARENTS` configs so far and breeds children from them.

    Each parent wins a tournament of `_TOURNAMENT`. A child takes each knob from one of its two parents, and with
    probability `_MUTATION` moves to a neighbouring value. A child that is outside the space or no longer open is bred
    again; after `_ATTEMPTS` failures a random config takes its place.
    """

    def __init__(self, candidates: Candidates, seed: int) -> None:
        super().__init__(candidates, seed)
        self._at = {tuple(row): position for position, row in enumerate(candidates.levels.tolist())}
        self._values = np.array([len(knob.values) for knob in candidates.knobs], np.int32)

    def _choose(self, count: int) -> list[int]:
        parents = sorted((p for p in self.speed if self.speed[p] > 0), key=lambda p: -self.speed[p])[:_PARENTS]
        chosen: list[int] = []
        while len(chosen) < count:
            child = self._child(parents) if len(parents) > 1 else None
            if child is None:
                child = self._any_open(1)[0]
            chosen.append(child)
            self.is_open[child] = False
        return chosen

    def _child(self, parents: list[int]) -> int | None:
        levels = self.candidates.levels
        for _ in range(_ATTEMPTS):
            mother, father = levels[self._winner(parents)], levels[self._winner(parents)]
            genes = self._mutated(np.where(self.random.random(len(mother)) < 0.5, mother, father))
            position = self._at.get(tuple(genes.tolist()))
            if position is not None and self.is_open[position]:
                return position
        return None

    def _winner(self, parents: list[int]) -> int:
        """The fastest of a few random parents; `parents` is sorted, so the lowest index wins."""
        return parents[int(self.random.integers(len(parents), size=_TOURNAMENT).min())]

    def _mutated(self, genes: Genes) -> Genes:
        steps = self.random.choice((-1, 1), len(genes)) * (self.random.random(len(genes)) < _MUTATION)
        mutated: Genes = np.clip(genes + steps, 0, self._values - 1).astype(np.int32)
        return mutated
