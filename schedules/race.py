"""Several algorithms for one operator: the config names the one that computes a workload; measurement decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy.typing as npt

from tvmopt.schedules.space import Config, ConfigSpace, RaceSpace
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

ALGORITHM = "algorithm"
"""The knob that names the algorithm, by its position in `Race.algorithms`."""


class Algorithm(Protocol):
    """A template that takes part in a race; see `schedules.registry.PackingTemplate` for the rest of its methods.

    Attributes:
        name: what tables call it.
        spreads_nan: whether a NaN or infinity reaches results that do not depend on it.
        feature_count: how many features it has, even for workloads that it cannot compute.
    """

    name: str
    spreads_nan: bool
    feature_count: int

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Whether it can compute the workload."""

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Its own configs."""

    def default(self, workload: Workload, target: Target) -> Config:
        """The config to start from."""

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles on one core, on the same scale for all algorithms of a race."""

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Numbers that the cost model learns from."""

    def flops(self, workload: Workload) -> int:
        """Floating-point operations of the operator, whatever the algorithm saves."""

    def packed(self, workload: Workload, target: Target, config: Config) -> Mapping[int, tuple[int, ...]]:
        """The shapes in memory of the inputs that are packed, by index."""

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """The logical `array` of input `index`, packed."""

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""


class Race:
    """A template made of algorithms: one space of all their configs, one record for the winner.

    Subclasses set:
        name, version: as in every template; a change of any algorithm's kernels raises the version.
        algorithms: in a fixed order; new ones are appended.
    """

    name: str
    version: int
    algorithms: tuple[Algorithm, ...]

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Whether some algorithm takes the workload."""
        return any(self._takes(algorithm, workload, target) for algorithm in self.algorithms)

    def _takes(self, algorithm: Algorithm, workload: Workload, target: Target) -> bool:
        return algorithm.accepts(workload, target) and not (target.strict_nan and algorithm.spreads_nan)

    def algorithm(self, config: Config) -> Algorithm:
        """The algorithm that a config of the race names."""
        return self.algorithms[config[ALGORITHM]]

    def knobs(self, workload: Workload, target: Target, config: Config) -> Config:
        """The knobs of a config that belong to its algorithm."""
        own = self.algorithm(config).space(workload, target)
        return {knob.name: config[knob.name] for knob in own.knobs}

    def space(self, workload: Workload, target: Target) -> RaceSpace:
        """The configs of all algorithms that take the workload.

        They have the same knobs whether or not the target excludes an algorithm, so that both share their records.
        """
        spaces = (a.space(workload, target) if a.accepts(workload, target) else None for a in self.algorithms)
        excluded = {place for place, a in enumerate(self.algorithms) if target.strict_nan and a.spreads_nan}
        return RaceSpace.of(ALGORITHM, tuple(spaces), excluded)

    def default(self, workload: Workload, target: Target) -> Config:
        """The default with the fewest estimated cycles."""
        cycles: dict[int, float] = {}
        configs: dict[int, Config] = {}
        for place, algorithm in enumerate(self.algorithms):
            if self._takes(algorithm, workload, target):
                configs[place] = algorithm.default(workload, target)
                cycles[place] = algorithm.cycles(workload, target, configs[place])
        best = min(cycles, key=lambda place: cycles[place])
        return self.space(workload, target).whole(best, configs[best])

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """The algorithm's estimate."""
        return self.algorithm(config).cycles(workload, target, self.knobs(workload, target, config))

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """The algorithm's features, with zeros in place of the others'."""
        features: list[float] = []
        for place, algorithm in enumerate(self.algorithms):
            own = place == config[ALGORITHM]
            features += algorithm.features(workload, target, config) if own else (0.0,) * algorithm.feature_count
        return tuple(features)

    def flops(self, workload: Workload) -> int:
        """Floating-point operations of the operator by its definition, a multiply-add as two."""
        return self.algorithms[0].flops(workload)

    def packed(self, workload: Workload, target: Target, config: Config) -> Mapping[int, tuple[int, ...]]:
        """Which inputs the algorithm stores differently, and with what shape."""
        return self.algorithm(config).packed(workload, target, config)

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """The logical `array` of input `index`, packed as the algorithm expects it."""
        return self.algorithm(config).pack(workload, target, config, index, array)

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The algorithm's scheduled PrimFunc."""
        return self.algorithm(config).build(workload, target, config)
