"""Sets of sizes for the dimensions that a model leaves open."""

from __future__ import annotations

from collections.abc import Mapping

from tvmopt.pipeline.errors import UsageError

Shapes = Mapping[str, tuple[int, ...]]
"""A shape for each input by name."""


def each_size(shapes: Mapping[str, tuple[int | tuple[int, ...], ...]]) -> tuple[Shapes, ...]:
    """The shapes that sets of sizes stand for: the first sizes of all sets together, then the second ones, and so on.

    Args:
        shapes: for each input by name its dimensions, each a size or a set of sizes.

    Returns:
        One shape for each input per size; only one if there are no sets.

    Raises:
        UsageError: when two sets differ in length.
    """
    counts = {
        len(dim): f"{name}:{{{','.join(map(str, dim))}}}"
        for name, shape in shapes.items()
        for dim in shape
        if isinstance(dim, tuple)
    }
    if len(counts) > 1:
        first, second = list(counts.values())[:2]
        raise UsageError(
            f"sets of sizes go together, first with first, so they need the same length; got {first} and {second}"
        )
    return tuple(
        {name: tuple(dim[index] if isinstance(dim, tuple) else dim for dim in shape) for name, shape in shapes.items()}
        for index in range(max(counts, default=1))
    )
