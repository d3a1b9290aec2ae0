"""Alternates runs with and without the profiler, so that other load on the machine affects both equally."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

TURN_S = 0.05
"""Approximate time of one turn."""
UNTIMED = 2
"""Runs at the start of each turn that do not count; they warm up the caches."""
MIN_CALLS = 3
"""Minimum number of counted runs in a turn."""
MICROSECOND_S = 1e-6


@dataclass(frozen=True, slots=True)
class Pace:
    """The number of runs.

    Attributes:
        seconds: their approximate total time.
        max_calls: maximum runs in a turn.
        min_turns: minimum turns of each kind, even if they exceed `seconds`.
    """

    seconds: float
    max_calls: int = 100
    min_turns: int = 5


@dataclass(frozen=True, slots=True)
class Turns:
    """The times of runs with and without the profiler.

    Attributes:
        plain: seconds of each counted run without the profiler.
        profiled: seconds of each counted run with it.
        counted: indices of the counted runs among all profiled runs.
        all_profiled: seconds of every run with it, including uncounted ones.
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
        """The mean of all profiled runs over the median of the counted ones: 1 when nothing disturbed them."""
        return statistics.fmean(self.all_profiled) / self.profiled_s


def take_turns(
    plain: Callable[[], None],
    profiled: Callable[[], None],
    pace: Pace,
    burst: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Turns:
    """Runs a model alternately without and with its profiler, in bursts, after a warm-up.

    Args:
        plain: runs it once without the profiler.
        profiled: runs it once with the profiler.
        pace: the number of runs.
        burst: a context entered around each burst of profiled runs.
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
    """The time of each kernel in a typical run.

    This is the mean over the fifth of the runs whose sums are closest to the median sum, so that the kernels add up to
    a median run. Separate medians of each kernel would not, if different kernels are disturbed in different runs.

    Args:
        times: seconds, with a row per run and a column per kernel.
        cut_to_s: the resolution that the clock truncates to. Truncation loses half of it on average, which is added to
            every kernel that took any time.
    """
    order = np.argsort(times.sum(axis=1), kind="stable")
    count = min(len(order), max(MIN_CALLS, len(order) // 5))
    first = (len(order) - count) // 2
    typical = times[order[first : first + count]].mean(axis=0)
    return np.asarray(typical + np.where(typical > 0, cut_to_s / 2, 0.0))
