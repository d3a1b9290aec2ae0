"""The configs that one task can have, listed once and numbered, as the tuners see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.registry import Template
from tvmopt.schedules.space import Config, Knob, config_key
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Candidates:
    """All configs of a task; a tuner refers to them by position.

    Attributes:
        configs: the whole space, in its own order.
        knobs: the choices that span the space.
        default: position of the config to begin with, None if there is none.
        describe: the template's derived features of a config.
    """

    configs: tuple[Config, ...]
    knobs: tuple[Knob, ...]
    default: int | None
    describe: Callable[[Config], tuple[float, ...]] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.configs:
            raise ValueError("a task needs at least one config, its space is empty")

    @staticmethod
    def of(template: Template, workload: Workload, target: Target) -> Candidates:
        """The candidates of a template; its default is among them, last if its space lacks it.

        Raises:
            ValueError: when the space is empty.
        """
        space = template.space(workload, target)
        default = template.default(workload, target)
        configs = tuple(space)
        keys = [config_key(config) for config in configs]
        if config_key(default) not in keys:
            configs, keys = (*configs, default), [*keys, config_key(default)]
        position = keys.index(config_key(default))
        return Candidates(configs, space.knobs, position, lambda config: template.features(workload, target, config))

    def __len__(self) -> int:
        return len(self.configs)

    def position(self, config: Config) -> int | None:
        """The position of `config`; None when it is not a candidate."""
        return self._positions.get(config_key(config))

    def positions(self, configs: Iterable[Config]) -> list[int]:
        """The positions of those `configs` that are candidates."""
        return [position for position in map(self.position, configs) if position is not None]

    @cached_property
    def _positions(self) -> dict[tuple[tuple[str, int], ...], int]:
        return {config_key(config): position for position, config in enumerate(self.configs)}

    @cached_property
    def levels(self) -> npt.NDArray[np.int32]:
        """The index of each config's value in each knob: ``(configs, knobs)``; -1 for a value that the knob lacks."""
        places = [{value: place for place, value in enumerate(knob.values)} for knob in self.knobs]
        rows = [
            [place.get(config[knob.name], -1) for knob, place in zip(self.knobs, places, strict=True)]
            for config in self.configs
        ]
        return np.array(rows, np.int32).reshape(len(self.configs), len(self.knobs))

    @cached_property
    def features(self) -> Matrix:
        """The cost model's input: ``(configs, features)``."""
        return self.featurize(self.configs, self.describe)

    def featurize(self, configs: Iterable[Config], describe: Callable[[Config], tuple[float, ...]]) -> Matrix:
        """Knob values, then derived features. Values are not scaled: a logarithm makes no difference to a tree.

        Args:
            configs: configs of this template, possibly for other workloads; knobs that they lack are NaN.
            describe: the template's derived features of a config for their workload.
        """
        names = [knob.name for knob in self.knobs]
        rows = [[*(config.get(name, np.nan) for name in names), *describe(config)] for config in configs]
        return np.array(rows, np.float32).reshape(len(rows), -1)
