from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.pipeline.graph.attention.forms import FORMS
from tvmopt.pipeline.graph.attention.fuse import fuse_attention
from tvmopt.pipeline.graph.attention.reach import reach_of
from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.schedules.expression import ACC, Arg, Const, Expr, call

QUERIES, KEYS = 5, 7
LEAST = float(np.finfo(np.float32).min)
ADDED = call("add", ACC, Arg(3))
CHOSEN = call("select", Arg(3), ACC, Const(LEAST))


def mask(reach: int, value: float = -np.inf, shape: tuple[int, ...] = (1, 1)) -> np.ndarray:
    hidden = np.arange(KEYS) > np.arange(QUERIES)[:, None] + reach
    return np.where(hidden, np.float32(value), np.float32(0.5)) * np.ones((*shape, 1, 1), np.float32)


def without_first_query(value: float) -> np.ndarray:
    array = mask(1, value)
    array[..., 0, :] = value
    return array


def padded_in_one_matrix(value: float) -> np.ndarray:
    """The first query of the second matrix sees nothing, that of the first one key."""
    array = mask(1, value, shape=(2, 1))
    array[1, 0, 0, :] = value
    return array


def in_one_head_only() -> np.ndarray:
    array = mask(0, shape=(1, 3))
    array[0, 1] = 0
    return array


@pytest.mark.parametrize(
    ("inner", "constants", "reach"),
    [
        (ADDED, {3: mask(0)}, 0),
        (ADDED, {3: mask(2, LEAST)}, 2),
        (ADDED, {3: mask(1, shape=(2, 3))}, 1),
        (ADDED, {3: mask(1)[0, 0]}, 1),
        (ADDED, {3: mask(-2)}, 0),
        (CHOSEN, {3: (mask(1) > 0)}, 1),
        (call("select", Arg(3), Arg(4), ACC), {3: (mask(1) < 0), 4: np.float32(-np.inf)}, 1),
        (call("add", call("mul", ADDED, Const(0.125)), Arg(4)), {3: mask(1), 4: None}, 1),
        (ADDED, {3: without_first_query(-np.inf)}, 1),
        # Not hidden for certain, in no matrix, or nothing is left out.
        (ACC, {}, None),
        (ADDED, {3: None}, None),
        (ADDED, {3: mask(1, -1e4)}, None),
        (ADDED, {3: mask(6)}, None),
        (ADDED, {3: np.zeros(KEYS, np.float32)}, None),
        (ADDED, {3: in_one_head_only()}, None),
        (ADDED, {3: mask(1, np.nan)}, None),
        (ADDED, {3: without_first_query(LEAST)}, None),
        (ADDED, {3: padded_in_one_matrix(LEAST)}, None),
        (ADDED, {3: padded_in_one_matrix(-np.inf)}, 1),
        (call("add", ADDED, Arg(4)), {3: mask(1, LEAST), 4: None}, None),
        (call("mul", ADDED, Const(-1.0)), {3: mask(1)}, None),
        (call("neg", ADDED), {3: mask(1)}, None),
        (call("select", Arg(3), ACC, Arg(4)), {3: None, 4: np.float32(-np.inf)}, None),
    ],
)
def test_how_far_queries_see(inner: Expr, constants: dict[int, np.ndarray | None], reach: int | None) -> None:
    assert reach_of(inner, constants, QUERIES, KEYS) == reach


@pytest.mark.parametrize(
    ("name", "reach"), [("causal", 0), ("where", 0), ("masked fill", None), ("eager", None), ("two masks", None)]
)
def test_a_node_says_how_far_its_queries_see(through: Any, name: str, reach: int | None) -> None:
    parts = FORMS[name]
    options = {"inputs": parts["inputs"], "outputs": parts["outputs"], **parts["constants"]}
    done = through(*parts["nodes"], passes=(recognize, fuse_attention), **options)
    done.check()
    assert done.node("attention").attrs.get("reach") == reach
