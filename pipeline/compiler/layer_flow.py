"""Follows values between known places, so that what lies between two of them can be told by its neighbours.

A graph and the module it became have the same known places: the model's inputs and outputs, and the calls of templates'
kernels. Between them stand imported layers in the one and the kernels that TVM made of them in the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Source = tuple[str, int]
"""A known place that gives a value: ``("input", number)`` or ``("node", place)``; ``("inner", number)`` in between."""

Sink = tuple[str, int, int]
"""A known place that takes a value: ``("node", place, argument)`` or ``("output", number, 0)``."""

Value = frozenset[Source]
"""What a value is made of; nothing for a constant. What only looks at values, as a reshape does, unites them."""

CONSTANT: Value = frozenset()


@dataclass(frozen=True, slots=True)
class Inner:
    """Something between known places.

    Attributes:
        part: number of the connected part that it belongs to.
        sources: the known places whose values reach it.
        sinks: the known places that its result reaches.
        part_sinks: those that the results of its part reach.
    """

    part: int
    sources: frozenset[Source]
    sinks: frozenset[Sink]
    part_sinks: frozenset[Sink]


class Flow:
    """Takes in what lies between known places, in the order it runs."""

    def __init__(self) -> None:
        self._reads: list[Value] = []
        self._feeds: list[set[Sink]] = []

    def inner(self, inputs: Iterable[Value]) -> Value:
        """Adds something that reads `inputs`; gives its result."""
        self._reads.append(united(inputs))
        self._feeds.append(set())
        return frozenset({("inner", len(self._reads) - 1)})

    def sink(self, sink: Sink, value: Value) -> None:
        """Adds that `sink` takes `value`."""
        for kind, number in value:
            if kind == "inner":
                self._feeds[number].add(sink)

    def traced(self) -> tuple[Inner, ...]:
        """What was added with `inner`, in order."""
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
    """For each of `first` the place of the one in `second` with its sources and sinks; None unless all find theirs.

    Of several that have the same, those in front belong together: what depends on each other keeps its order.
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
