"""Common to all tuners: begin with the default, propose nothing twice, remember what was measured."""

from __future__ import annotations

import statistics
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.tuning.candidates import Candidates
from tvmopt.pipeline.tuning.measurer import Trial
from tvmopt.schedules.space import Config


class Tuner(Protocol):
    """Chooses which configs of one task to measure next."""

    def propose(self, count: int) -> list[Config]:
        """At most `count` configs that were neither proposed nor learned before; none when all were."""
        ...

    def learn(self, trials: Sequence[Trial]) -> None:
        """Learns results of its own proposals or of earlier runs."""
        ...


class OnceEach(ABC):
    """A tuner that works on positions in `Candidates`.

    Attributes:
        candidates: the configs to choose from.
        random: the seeded source of all randomness.
        is_open: for each candidate, whether it may still be proposed.
        speed: runs per second of each measured candidate, 0 if it failed.
    """

    def __init__(self, candidates: Candidates, seed: int) -> None:
        self.candidates = candidates
        self.random = np.random.default_rng(seed)
        self.is_open: npt.NDArray[np.bool_] = np.ones(len(candidates), np.bool_)
        self.speed: dict[int, float] = {}

    def propose(self, count: int) -> list[Config]:
        """At most `count` configs that were neither proposed nor learned before; the default comes first."""
        default = self.candidates.default
        chosen: list[int] = []
        if count > 0 and default is not None and self.is_open[default]:
            chosen.append(default)
            self.is_open[default] = False
        count = min(count - len(chosen), int(self.is_open.sum()))
        if count > 0:
            chosen += self._choose(count)
            self.is_open[chosen] = False
        return [self.candidates.configs[position] for position in chosen]

    def learn(self, trials: Sequence[Trial]) -> None:
        """Learns results, except those of configs that are not candidates."""
        for trial in trials:
            position = self.candidates.position(trial.config)
            if position is not None:
                self.is_open[position] = False
                self.speed[position] = 1.0 / statistics.median(trial.latency_s) if trial.latency_s else 0.0

    @abstractmethod
    def _choose(self, count: int) -> list[int]:
        """At least one and at most `count` distinct open positions; `count` or more are open."""

    def _any_open(self, count: int) -> list[int]:
        """`count` random open positions, or as many as there are."""
        choices = np.flatnonzero(self.is_open)
        picked = self.random.choice(choices, min(count, len(choices)), replace=False)
        return [int(position) for position in picked]
