"""Runs with the profiler and without it, taking turns, so that what else the machine does meets both alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

TURN_S = 0.05
"""About how long one turn takes."""
UNTIMED = 2
"""Runs at the start of each turn that do not count: they bring caches back."""
MIN_CALLS = 3
"""Runs in a turn that count, at least."""
MICROSECOND_S = 1e-6


@dataclass(frozen=True, slots=True)
class Pace:
    """How many runs there are.

    Attributes:
        seconds: how long they go on, about.
        max_calls: runs in a turn at most.
        min_turns: turns of each kind, however long they take.
    """

    seconds: float
    max_calls: int = 100
    min_turns: int = 5


@dataclass(frozen=True, slots=True)
class Turns:
    """What was taken.

    Attributes:
        plain: seconds of each run without the profiler.
        profiled: seconds of each run with it.
        counted: numbers of these among all profiled runs, from 0.
        all_profiled: seconds of every run with it, also of those that do not count.
    """

    plain: tuple[float, ...]
    profiled: tuple[float, ...]
    counted: tuple[int, ...]
    all_profiled: tuple[float, ...]

    @property
    def whole_s(self) -> float:
        """Median without the profiler."""
        return statistics.median(self.plain)

    @property
    def profiled_s(self) -> float:
        """Median with the profiler."""
        return statistics.median(self.profiled)

    @property
    def disturbance(self) -> float:
        """The mean of all profiled runs over the median of those that count: 1 when nothing disturbed them."""
        return statistics.fmean(self.all_profiled) / self.profiled_s


def take_turns(
    plain: Callable[[], None],
    profiled: Callable[[], None],
    pace: Pace,
    burst: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Turns:
    """Runs a model without and with its profiler, a burst each, after a warm-up.

    Args:
        plain: runs it once without the profiler.
        profiled: runs it once with it.
        pace: how many runs there are.
        burst: entered before each burst of profiled runs, left after it.
    """
    warm = [time_call(plain) for _ in range(5)]
    end = time.perf_counter() + pace.seconds
    calls = min(pace.max_calls, max(MIN_CALLS, round(TURN_S / statistics.median(warm))))
    samples: tuple[list[float], list[float]] = ([], [])
    turn = 0
    gc.collect()
    gc.disable()
    while turn < pace.min_turns or time.perf_counter() < end:
        samples[0].extend(time_call(plain) for _ in range(UNTIMED + calls))
        with burst():
            samples[1].extend(time_call(profiled) for _ in range(UNTIMED + calls))
        turn += 1
    gc.enable()
    length = UNTIMED + calls
    counted = tuple(number for number in range(turn * length) if number % length >= UNTIMED)
    plain_s, profiled_s = (tuple(taken[number] for number in counted) for taken in samples)
    return Turns(plain_s, profiled_s, counted, tuple(samples[1]))


def time_call(call: Callable[[], None]) -> float:
    """Seconds of one call."""
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e9


def typical_seconds(times: np.ndarray, cut_to_s: float = 0.0) -> np.ndarray:
    """What each kernel takes in a typical run.

    The mean over the runs whose sums are next to the median sum, a fifth of all: so the kernels add up to what a median
    run takes, which medians of each kernel by itself do not where now one and now another is disturbed.

    Args:
        times: seconds, one row a run and one column a kernel.
        cut_to_s: the unit to which a clock cut them down; half of it is what that takes away on average. It is added
            where a kernel took any time at all.
    """
    order = np.argsort(times.sum(axis=1), kind="stable")
    count = min(len(order), max(MIN_CALLS, len(order) // 5))
    first = (len(order) - count) // 2
    typical = times[order[first : first + count]].mean(axis=0)
    return np.asarray(typical + np.where(typical > 0, cut_to_s / 2, 0.0))
