"""Alternating runs, and the times computed from them."""

from __future__ import annotations

import numpy as np
import pytest

from tvmopt.benchmarks.runtimes.profiles.turns import (
    MICROSECOND_S,
    MIN_CALLS,
    UNTIMED,
    Pace,
    take_turns,
    typical_seconds,
)


def test_turns_alternate_and_the_first_runs_do_not_count() -> None:
    ran: list[str] = []
    pace = Pace(seconds=1e-9, max_calls=MIN_CALLS, min_turns=4)
    turns = take_turns(lambda: ran.append("plain"), lambda: ran.append("profiled"), pace)
    length = UNTIMED + MIN_CALLS
    warm = len(ran) - 2 * 4 * length
    assert ran[warm:] == (["plain"] * length + ["profiled"] * length) * 4
    assert len(turns.plain) == len(turns.profiled) == len(turns.counted) == 4 * MIN_CALLS
    assert len(turns.all_profiled) == 4 * length
    assert [turns.all_profiled[number] for number in turns.counted] == list(turns.profiled)
    assert min(turns.plain) > 0


def test_typical_kernels_add_up_to_the_median_run() -> None:
    # The kernels are disturbed alternately: their separate medians would add up to 2, but the median run takes 3.
    times = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 1.0], [1.0, 1.0], [9.0, 9.0], [2.0, 1.0]])
    assert typical_seconds(times).sum() == pytest.approx(np.median(times.sum(axis=1)))


def test_disturbed_runs_do_not_count() -> None:
    times = np.full((50, 3), 2.0)
    times[::5] = 100.0
    assert typical_seconds(times).tolist() == [2.0, 2.0, 2.0]


def test_truncated_microseconds_are_corrected() -> None:
    random = np.random.default_rng(0)
    true = np.array([3.4e-6, 7.9e-6, 0.0])
    exact = true * random.uniform(0.7, 1.3, (20_000, 1))
    cut = np.floor(exact / MICROSECOND_S) * MICROSECOND_S
    found = typical_seconds(cut, MICROSECOND_S)
    assert found[2] == 0.0
    assert found[:2] == pytest.approx(true[:2], rel=0.05)
