"""Follows values between known places, so that anything between two of them can be identified by its neighbours.

A graph and the module it became have the same known places: the model's inputs and outputs, and the calls of templates'
kernels. Between these places the graph has imported layers; the module has the kernels that TVM made from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Source = tuple[str, int]
"""A known place that gives a value: ``("input", number)`` or ``("node", place)``; else ``("inner", number)``."""

Sink = tuple[str, int, int]
"""A known place that takes a value: ``("node", place, argument)`` or ``("output", number, 0)``."""

Value = frozenset[Source]
"""What a value is made of; empty for a constant. A mere view of values, such as a reshape, has their union."""

CONSTANT: Value = frozenset()


@dataclass(frozen=True, slots=True)
class Inner:
    """Something between known places.

    Attributes:
        part: number of the connected part that it belongs to.
        sources: the known places whose values reach it.
        sinks: the known places that its result reaches.
        part_sinks: the known places that the results of its part reach.
    """

    part: int
    sources: frozenset[Source]
    sinks: frozenset[Sink]
    part_sinks: frozenset[Sink]


class Flow:
    """Collects everything between known places, in execution order."""

    def __init__(self) -> None:
        self._reads: list[Value] = []
        self._feeds: list[set[Sink]] = []

    def inner(self, inputs: Iterable[Value]) -> Value:
        """Adds something that reads `inputs`; returns its result."""
        self._reads.append(united(inputs))
        self._feeds.append(set())
        return frozenset({("inner", len(self._reads) - 1)})

    def sink(self, sink: Sink, value: Value) -> None:
        """Records that `sink` takes `value`."""
        for kind, number in value:
            if kind == "inner":
                self._feeds[number].add(sink)

    def traced(self) -> tuple[Inner, ...]:
        """Everything that was added with `inner`, in order."""
        before = [[number for kind, number in reads if kind == "inner"] for reads in self._reads]
        sources: list[set[Source]] = []
        parts = list(range(len(before)))
        for reads, earlier in zip(self._reads, before, strict=True):
            sources.append({source for source in reads if source[0] != "inner"}.union(*(sources[i] for i in earlier)))
            linked = {parts[i] for i in (*earlier, len(sources) - 1)}
            parts = [min(linked) if part in linked else part for part in parts]
        sinks = [set(feeds) for feeds in self._feeds]
        for number in reversed(range(len(before))):
            for i in before[number]:
                sinks[i] |= sinks[number]
        part_sinks = {
            part: frozenset().union(*(sinks[i] for i in range(len(parts)) if parts[i] == part)) for part in set(parts)
        }
        return tuple(
            Inner(part, frozenset(sources[i]), frozenset(sinks[i]), part_sinks[part]) for i, part in enumerate(parts)
        )


def united(values: Iterable[Value]) -> Value:
    """All that `values` are made of."""
    return CONSTANT.union(*values)


def same_neighbours(first: Sequence[Inner], second: Sequence[Inner]) -> tuple[int, ...] | None:
    """For each of `first` the index of its match in `second`, with equal sources and sinks; None unless all have one.

    Several with the same neighbours are matched in order, because those that depend on each other keep their order.
    """
    if len(first) != len(second):
        return None
    left = list(range(len(second)))
    found = []
    for one in first:
        fits = (i for i in left if (second[i].sources, second[i].sinks) == (one.sources, one.sinks))
        place = next(fits, None)
        if place is None:
            return None
        left.remove(place)
        found.append(place)
    return tuple(found)
