"""Knobs, configs and the space of configs of one template at one workload."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

Config = Mapping[str, int]
"""One value for every knob."""


@dataclass(frozen=True, slots=True)
class Knob:
    """A named choice.

    Attributes:
        name: what the template calls it.
        values: what it may be, in the order that neighbouring values behave alike.
    """

    name: str
    values: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.values or len(set(self.values)) != len(self.values):
            raise ValueError(f"knob {self.name!r} needs distinct values, got {self.values}")


@dataclass(frozen=True, slots=True)
class ConfigSpace:
    """All configs of a template for one workload: the product of its knobs, less what `allowed` rejects.

    Attributes:
        knobs: the choices, in a fixed order.
        allowed: says whether a combination makes sense (tile fits the registers, say).
    """

    knobs: tuple[Knob, ...]
    allowed: Callable[[Config], bool] = field(default=lambda config: True)

    def __iter__(self) -> Iterator[Config]:
        names = [knob.name for knob in self.knobs]
        for values in itertools.product(*(knob.values for knob in self.knobs)):
            config = MappingProxyType(dict(zip(names, values, strict=True)))
            if self.allowed(config):
                yield config

    def contains(self, config: Config) -> bool:
        """Whether `config` names exactly this space's knobs, with values that they have, and is allowed."""
        if set(config) != {knob.name for knob in self.knobs}:
            return False
        return all(config[knob.name] in knob.values for knob in self.knobs) and self.allowed(config)


def config_key(config: Config) -> tuple[tuple[str, int], ...]:
    """A hashable form of `config`, equal for equal configs."""
    return tuple(sorted(config.items()))
