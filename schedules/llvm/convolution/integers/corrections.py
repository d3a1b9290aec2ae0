"""Sums of products in 16 bits that are exact for all data, made so when the weights are known.

Processors without VNNI add two products of bytes in 16 bits. Adding the sums of two quads there, too, saves widening
one of them. Whether such sums may leave 16 bits is known from the weights, which are constants: of seven bits few of
four do, of eight bits some of two. What they exceed is subtracted from the weights of the last quad; it is added in
steps of its own behind the reduction, read from a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.convolution.integers.direct import in_quads
from tvmopt.schedules.llvm.parts.products import LARGEST_PAIR, PAIRS_FIT, fit
from tvmopt.schedules.llvm.parts.quads import QUAD, adds_quads
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

Array = npt.NDArray[Any]

CORRECTIONS = "corrections"
"""The attribute of a convolution of integers that says how many corrections there may be; absent where too many."""

TOGETHER = 2
"""Quads whose products are added in 16 bits where neighbouring weights fit."""

TOO_MANY = {1: 3 / 4, TOGETHER: 1 / 8}
"""With more corrections than this share of all steps there is a faster way, by the quads of a step."""


@dataclass(frozen=True, slots=True)
class Corrected:
    """Weights of which the quads of a step fit 16 bits, and the rest of what was given.

    Attributes:
        quads: int8, ``(vectors, lanes, quads, KH, KW, 4)``.
        steps: where the rest is: indices of vector, quad, row and column, in this order, as rows.
        rest: the weights of these steps, int8, ``(steps, lanes, 4)``.
    """

    quads: Array
    steps: Array
    rest: Array


def quads_together(fits: bool) -> int:
    """How many quads are added in 16 bits: one where neighbouring weights do not fit."""
    return TOGETHER if fits else 1


def corrected(quads: Array, together: int) -> Corrected:
    """Divides weights into those that leave the sums of a step in 16 bits, and the rest.

    Args:
        quads: int8, ``(vectors, lanes, quads, KH, KW, 4)``; the first of each step is a multiple of `together`.
        together: quads of a step; neighbours fit if there is more than one.
    """
    vectors, lanes, count, *kernel, _ = quads.shape
    padded = np.pad(quads, ((0, 0), (0, 0), (0, -count % together), (0, 0), (0, 0), (0, 0)))
    steps = padded.reshape(vectors, lanes, -1, together, *kernel, 2, 2)
    moved = np.zeros_like(steps[:, :, :, -1])
    for sign in (1, -1):
        part = np.maximum(steps.astype(np.int16) * np.int16(sign), 0)
        excess = np.maximum(part.sum(axis=(3, -1), dtype=np.int16) - LARGEST_PAIR, 0)
        # The last quad has as much as exceeds the bound, since the first alone does not.
        first = np.minimum(excess, part[:, :, :, -1, ..., 0])
        moved[..., 0] += (sign * first).astype(np.int8)
        moved[..., 1] += (sign * (excess - first)).astype(np.int8)
    rest = moved.reshape(*moved.shape[:-2], QUAD)
    found = np.argwhere(rest.any(axis=(1, -1)))
    weights = rest[found[:, 0], :, found[:, 1], found[:, 2], found[:, 3]]
    found[:, 1] = together * found[:, 1] + together - 1
    kept = steps.copy()
    kept[:, :, :, -1] -= moved
    return Corrected(kept.reshape(padded.shape)[:, :, :count], found, weights)


def corrections_of(workload: Workload) -> int | None:
    """How many corrections there may be, as the graph found; None if too many, or not known."""
    found = dict(workload.attrs).get(CORRECTIONS)
    assert found is None or isinstance(found, int)
    return found


def facts_of(target: Target, weights: Array) -> dict[str, int]:
    """Attributes of a convolution of integers that say which sums of its products fit 16 bits.

    Args:
        target: whose instructions may need such facts; else there are none.
        weights: int8, OIHW.

    Returns:
        `PAIRS_FIT` and `CORRECTIONS`. The latter is one of few numbers, so that equal layers of a network have the same
        kernel.
    """
    if adds_quads(target):
        return {}
    fits, lanes = fit(weights), target.lanes(FLOAT32)
    quads = in_quads(np.pad(weights, ((0, -len(weights) % lanes), (0, 0), (0, 0), (0, 0))))
    vectors, together = quads.reshape(-1, lanes, *quads.shape[1:]), quads_together(fits)
    count = len(corrected(vectors, together).steps)
    facts = {PAIRS_FIT: 1} if fits else {}
    if count <= TOO_MANY[together] * vectors.size / (lanes * together * QUAD):
        facts[CORRECTIONS] = 1 << (count - 1).bit_length() if count else 0
    return facts
