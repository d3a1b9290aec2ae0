"""Sets of sizes for the dimensions that a model leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tvmopt.pipeline.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

Shapes = Mapping[str, tuple[int, ...]]
"""A shape for each input by name."""


def each_size(
    shapes: Mapping[str, tuple[int | tuple[int, ...], ...]], inputs: Mapping[str, np.ndarray] | None = None
) -> tuple[Shapes, ...]:
    """The shapes that sets of sizes stand for: the first sizes of all sets together, then the second ones, and so on.

    Args:
        shapes: for each input by name its dimensions, each a size or a set of sizes.
        inputs: arrays that the model is to be imported on; they have one size.

    Returns:
        One shape for each input per size; only one if there are no sets.

    Raises:
        UsageError: when two sets differ in length, or there are both sets and arrays.
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
    count = max(counts, default=1)
    if count > 1 and inputs is not None:
        raise UsageError(f"the arrays in inputs have one size; leave them out for several sizes ({counts[count]})")
    return tuple(
        {name: tuple(dim[index] if isinstance(dim, tuple) else dim for dim in shape) for name, shape in shapes.items()}
        for index in range(count)
    )
