"""From raw samples to medians, intervals and verdicts.

Consecutive calls share the state of the machine, so single samples are not independent. The bootstrap therefore
resamples turns (bursts of calls in one round): a cluster bootstrap, percentile method (Davison and Hinkley, Bootstrap
Methods and their Application, 1997, sections 3.8 and 5.3). A ratio resamples the rounds of both sides together, since
the turns of one round are close in time, so that slow drifts cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from tvmopt.benchmarks.measurements.types import Latency

CONFIDENCE = 0.95
"""Probability that an interval covers the true value."""

RESAMPLES = 2000
"""Bootstrap resamples for an interval."""

MIN_ROUNDS = 5
"""Minimum rounds for an interval: fewer are too few to resample."""

Turns = Sequence[Sequence[float]]
"""Seconds of each call, by turn."""

Outcome = Literal["faster", "no difference", "slower"]


def summarize(turns: Turns, seed: int = 0) -> Latency:
    """Median, mean, percentiles and the median's interval of all calls in `turns`.

    Args:
        turns: at least `MIN_ROUNDS` turns, none empty.
        seed: seed of the resampling.

    Raises:
        ValueError: when there are too few turns, or an empty one.
    """
    groups = _arrays(turns)
    samples = np.concatenate(groups)
    low, high = _bootstrap(len(groups), lambda rounds: _median(groups, rounds), seed)
    p50, p90, p99 = (float(value) for value in np.percentile(samples, (50, 90, 99)))
    return Latency(
        median=float(np.median(samples)),
        mean=float(samples.mean()),
        p50=p50,
        p90=p90,
        p99=p99,
        stdev=float(samples.std(ddof=1)) if len(samples) > 1 else 0.0,
        interval=(low, high),
        samples=tuple(float(value) for value in samples),
        turns=tuple(len(group) for group in groups),
    )


def ratio_of_medians(subject: Latency, against: Latency, seed: int = 0) -> tuple[float, tuple[float, float]]:
    """Median latency of `subject` over that of `against`, with its interval.

    Raises:
        ValueError: when the numbers of rounds differ.
    """
    ours, theirs = _arrays(split_turns(subject)), _arrays(split_turns(against))
    if len(ours) != len(theirs):
        raise ValueError(f"a ratio needs the same rounds on both sides, got {len(ours)} and {len(theirs)}")
    low, high = _bootstrap(len(ours), lambda rounds: _median(ours, rounds) / _median(theirs, rounds), seed)
    return subject.median / against.median, (low, high)


def judge(interval: tuple[float, float]) -> Outcome:
    """The verdict that an interval of a latency ratio supports."""
    low, high = interval
    if high < 1.0:
        return "faster"
    return "slower" if low > 1.0 else "no difference"


def split_turns(latency: Latency) -> list[tuple[float, ...]]:
    """The samples of `latency`, by turn."""
    ends = np.cumsum(latency.turns)
    return [latency.samples[end - size : end] for end, size in zip(ends, latency.turns, strict=True)]


def _arrays(turns: Turns) -> list[np.ndarray]:
    groups = [np.asarray(turn, dtype=np.float64) for turn in turns]
    if len(groups) < MIN_ROUNDS or not all(group.size for group in groups):
        raise ValueError(f"needs at least {MIN_ROUNDS} turns with samples in each, got {[g.size for g in groups]}")
    return groups


def _median(groups: list[np.ndarray], rounds: np.ndarray) -> float:
    return float(np.median(np.concatenate([groups[index] for index in rounds])))


def _bootstrap(rounds: int, statistic: Callable[[np.ndarray], float], seed: int) -> tuple[float, float]:
    """Percentile interval of `statistic`, a function of the (resampled) round numbers."""
    from scipy import stats

    result: Any = stats.bootstrap(
        (np.arange(rounds),),
        statistic,
        vectorized=False,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
