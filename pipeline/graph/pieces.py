"""Pieces of a graph that can be divided into kernels in several ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvmopt.pipeline.graph.ir import Graph
from tvmopt.schedules.target import Target


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a graph that a rewrite can replace.

    Attributes:
        before: names of the values that its nodes make, its result last.
        after: names of the values that the replacing nodes make, the same result last.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.before[-1] != self.after[-1]:
            raise ValueError(f"a piece keeps its result's name, got {self.before[-1]!r} and {self.after[-1]!r}")

    @property
    def output(self) -> str:
        """The result."""
        return self.before[-1]


Takes = Callable[[Piece], bool]
"""Whether a rewrite replaces a piece."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another way to divide pieces of a graph into kernels; measuring decides where it is used.

    Attributes:
        name: unique among the alternatives.
        rewrite: calls its last argument for each piece that it could replace, and replaces those for which the answer
            is True. Pieces of one alternative share no node; those of different alternatives may.
    """

    name: str
    rewrite: Callable[[Graph, Target, Takes], Graph]


Choice = Callable[[str, Piece], bool]
"""Whether the named alternative replaces a piece."""


def take_all(_: Piece) -> bool:
    """Replaces every piece."""
    return True


def stay_apart(_: str, __: Piece) -> bool:
    """Leaves every piece as it is."""
    return False
