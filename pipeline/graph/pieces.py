"""Pieces of a graph that can be cut into kernels in several ways."""

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
        after: names of the values that the nodes in their place make, the same result last.
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
    """Another way to cut pieces of a graph into kernels; measuring decides where it is taken.

    Attributes:
        name: what tells it from the others.
        rewrite: asks of each piece that it could replace, and replaces those that it is told to. Its own pieces have
            no node in common; those of different alternatives may.
    """

    name: str
    rewrite: Callable[[Graph, Target, Takes], Graph]


Choice = Callable[[str, Piece], bool]
"""Whether the alternative of a name replaces a piece."""


def take_all(_: Piece) -> bool:
    """Replaces every piece."""
    return True


def stay_apart(_: str, __: Piece) -> bool:
    """Leaves every piece as it is."""
    return False
