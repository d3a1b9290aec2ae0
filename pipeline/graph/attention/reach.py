"""Finds masks that hide later keys from each query, in constants: those keys need not be computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.expression import Arg, Call, Const, Expr

Array = npt.NDArray[Any]

HIDDEN = -1e30
"""A score this low has no weight beside one that is not hidden: libraries hide with the least float."""
LEAST_FACTOR = 1e-3


def reach_of(inner: Expr, constants: Mapping[int, Array | None], queries: int, keys: int) -> int | None:
    """How many keys beyond the one with its own number a query sees at most; None if that hides nothing.

    A score hidden by a finite number counts only where nothing computed is added to it, and where every query sees
    some key: all keys of a query that sees none have equal weights.

    Args:
        inner: the expression of a score.
        constants: by argument of `inner`, its values, which broadcast to ``(…, queries, keys)``; None if computed.
        queries: how many.
        keys: how many.
    """
    known = {place: array for place, array in constants.items() if array is not None}
    lowest = HIDDEN if len(known) == len(constants) else -math.inf
    visible = ~_hidden(inner, known, lowest)
    each: Array = np.broadcast_to(visible, np.broadcast_shapes(visible.shape, (queries, keys)))
    if lowest == HIDDEN and not each.any(-1).all() and not _all_infinite(inner, known):
        return None
    seen: Array = np.any(each.reshape(-1, queries, keys), axis=0)
    last = np.where(seen.any(1), keys - 1 - np.argmax(seen[:, ::-1], 1), -1)
    reach = max(0, int(np.max(last - np.arange(queries))))
    return reach if reach + 1 < keys else None


def _all_infinite(inner: Expr, known: Mapping[int, Array]) -> bool:
    """Whether every hidden score is -inf: then a query that sees no key has no softmax, with its keys or without."""
    return bool(np.array_equal(_hidden(inner, known, HIDDEN), _hidden(inner, known, -math.inf)))


def _hidden(expr: Expr, known: Mapping[int, Array], lowest: float) -> Array:
    """Which scores are at most `lowest`; broadcasts to ``(…, queries, keys)``."""
    match expr:
        case Const(value):
            return np.array([[value <= lowest]])
        case Arg(place) if place in known:
            return np.atleast_2d(known[place] <= lowest)
        case Call("add", (left, right)):
            return _hidden(left, known, lowest) | _hidden(right, known, lowest)
        case Call("mul", (other, Const(factor))) | Call("mul", (Const(factor), other)):
            return _hidden(other, known, lowest) & (LEAST_FACTOR <= factor < math.inf)
        case Call("select", (Arg(place), then, otherwise)) if place in known:
            truth = np.atleast_2d(known[place] != 0)
            return np.where(truth, _hidden(then, known, lowest), _hidden(otherwise, known, lowest))
    return np.array([[False]])
