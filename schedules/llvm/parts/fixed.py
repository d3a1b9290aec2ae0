"""What templates without knobs share."""

from __future__ import annotations

from tvmopt.schedules.space import Config, ConfigSpace
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload


class NoKnobs:
    """A space of one empty config: for kernels bound by memory, with nothing to choose."""

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """One config: nothing to choose."""
        return ConfigSpace(())

    def default(self, workload: Workload, target: Target) -> Config:
        """The only config."""
        return {}

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Nothing to learn from."""
        return ()

    def flops(self, workload: Workload) -> int:
        """Nothing worth counting."""
        return 0
