"""Knobs, configs and the space of configs of one template at one workload."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

Config = Mapping[str, int]
"""One value for every knob."""


@dataclass(frozen=True, slots=True)
class Knob:
    """A named choice.

    Attributes:
        name: what the template calls it.
        values: its possible values, ordered so that neighbours behave similarly.
    """

    name: str
    values: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.values or len(set(self.values)) != len(self.values):
            raise ValueError(f"knob {self.name!r} needs distinct values, got {self.values}")


class Space(Protocol):
    """All configs of a template for one workload."""

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The choices, in a fixed order."""

    def __iter__(self) -> Iterator[Config]:
        """Every config once, in a fixed order."""

    def contains(self, config: Config) -> bool:
        """Whether `config` is one of the space."""


@dataclass(frozen=True, slots=True)
class ConfigSpace:
    """All configs of a template for one workload: the product of its knobs, minus what `allowed` rejects.

    Attributes:
        knobs: the choices, in a fixed order.
        allowed: whether a combination makes sense (for example, the tile fits the registers).
        leading: how many knobs, from the first, `allowed` depends on; it may be given only these. None for all.
    """

    knobs: tuple[Knob, ...]
    allowed: Callable[[Config], bool] = field(default=lambda config: True)
    leading: int | None = None

    def __iter__(self) -> Iterator[Config]:
        leading = len(self.knobs) if self.leading is None else self.leading
        first, others = self.knobs[:leading], self.knobs[leading:]
        for tile in _combinations(first):
            if self.allowed(tile):
                yield from (MappingProxyType({**tile, **rest}) for rest in _combinations(others))

    def fixed(self, values: Config) -> ConfigSpace:
        """The part of the space whose configs have `values`."""
        names = {knob.name: tuple(v for v in knob.values if v == values.get(knob.name, v)) for knob in self.knobs}
        return replace(self, knobs=tuple(Knob(name, left) for name, left in names.items()))

    def contains(self, config: Config) -> bool:
        """Whether `config` names exactly this space's knobs, gives each one of its values, and is allowed."""
        if set(config) != {knob.name for knob in self.knobs}:
            return False
        return all(config[knob.name] in knob.values for knob in self.knobs) and self.allowed(config)


@dataclass(frozen=True, slots=True)
class RaceSpace:
    """The spaces of several algorithms for one workload, one after another.

    A config has every algorithm's knobs; those that its own algorithm lacks are 0.

    Attributes:
        knobs: the algorithm's position, then every algorithm's knobs, merged by name.
        spaces: the algorithms' spaces; None for one that cannot compute the workload.
    """

    knobs: tuple[Knob, ...]
    spaces: tuple[ConfigSpace | None, ...]

    @staticmethod
    def of(chooser: str, spaces: tuple[ConfigSpace | None, ...], excluded: Collection[int] = ()) -> RaceSpace:
        """The race of `spaces`; the knob `chooser` names one of them.

        Configs of those at the positions `excluded` are not in the race, but their knobs are, always 0.
        """
        values: dict[str, set[int]] = {}
        left = tuple(None if position in excluded else space for position, space in enumerate(spaces))
        able = {position: space for position, space in enumerate(left) if space is not None}
        for space in able.values():
            for knob in space.knobs:
                values.setdefault(knob.name, set()).update(knob.values)
        for name, known in values.items():
            if any(name not in {knob.name for knob in space.knobs} for space in able.values()):
                known.add(0)
        for absent in spaces:
            for knob in absent.knobs if absent is not None else ():
                values.setdefault(knob.name, {0})
        merged = (Knob(name, tuple(sorted(known))) for name, known in values.items())
        return RaceSpace((Knob(chooser, tuple(able)), *merged), left)

    def __iter__(self) -> Iterator[Config]:
        for position, space in enumerate(self.spaces):
            absent = self.whole(position, {})
            yield from (MappingProxyType({**absent, **config}) for config in space or ())

    def contains(self, config: Config) -> bool:
        """Whether `config` has every knob, and its algorithm's knobs are in that algorithm's space."""
        position = config.get(self.knobs[0].name, -1)
        space = self.spaces[position] if 0 <= position < len(self.spaces) else None
        if space is None:
            return False
        own = {knob.name: config[knob.name] for knob in space.knobs if knob.name in config}
        return space.contains(own) and dict(self.whole(position, own)) == dict(config)

    def whole(self, position: int, config: Config) -> Config:
        """One algorithm's config as a config of the race."""
        chooser, *others = (knob.name for knob in self.knobs)
        return MappingProxyType({chooser: position, **{name: config.get(name, 0) for name in others}})


def _combinations(knobs: tuple[Knob, ...]) -> Iterator[dict[str, int]]:
    """All combinations of the knobs' values; the last knob varies fastest."""
    names = [knob.name for knob in knobs]
    return (dict(zip(names, values, strict=True)) for values in itertools.product(*(knob.values for knob in knobs)))


def config_key(config: Config) -> tuple[tuple[str, int], ...]:
    """A hashable form of `config`, equal for equal configs."""
    return tuple(sorted(config.items()))
