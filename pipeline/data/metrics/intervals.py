"""Confidence intervals of proportions and of differences between paired ones; McNemar's test; the bootstrap.

Sources: Wilson, Probable inference, the law of succession, and statistical inference, 1927; Bonett and Price, Adjusted
Wald confidence interval for a difference of binomial proportions based on paired data, 2012; McNemar, Note on the
sampling error of the difference between correlated proportions, 1947, in its exact form; Davison and Hinkley, Bootstrap
Methods and their Application, 1997.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Z = 1.959963984540054
"""The quantile of the normal distribution for 95 %."""

RESAMPLES = 500
"""Bootstrap resamples for an interval."""


def wilson(right: int, count: int) -> tuple[float, float]:
    """Wilson's interval of the proportion `right` of `count`, from 0 to 1."""
    part, more = right / count, Z * Z / count
    middle = (part + more / 2) / (1 + more)
    half = Z / (1 + more) * math.sqrt(part * (1 - part) / count + more / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def paired_difference(gained: int, lost: int, count: int) -> tuple[float, tuple[float, float]]:
    """The difference of two proportions on the same samples, and the adjusted Wald interval of Bonett and Price.

    Args:
        gained: samples that only the first has right.
        lost: samples that only the second has right.
        count: all samples.
    """
    first, second = (gained + 1) / (count + 2), (lost + 1) / (count + 2)
    middle = first - second
    half = Z * math.sqrt(max(0.0, first + second - middle * middle) / (count + 2))
    return (gained - lost) / count, (max(-1.0, middle - half), min(1.0, middle + half))


def mcnemar(gained: int, lost: int) -> float:
    """The two-sided probability of McNemar's exact test."""
    unlike = gained + lost
    if not unlike:
        return 1.0
    logs = [_log_choose(unlike, k) - unlike * math.log(2) for k in range(min(gained, lost) + 1)]
    return min(1.0, 2 * math.fsum(math.exp(log) for log in logs))


def bootstrap(count: int, statistic: Callable[[np.ndarray], float], resamples: int = RESAMPLES) -> tuple[float, float]:
    """The percentile interval of `statistic`, a function of how often each of `count` samples is counted.

    Args:
        count: samples, at least one.
        statistic: gets int64 of shape (count); may give NaN where a resample leaves nothing, which is left out.
        resamples: how many.
    """
    random = np.random.default_rng(0)
    even = np.full(count, 1 / count)
    values = np.array([statistic(random.multinomial(count, even)) for _ in range(resamples)])
    kept = values[np.isfinite(values)]
    if not len(kept):
        return math.nan, math.nan
    low, high = np.percentile(kept, (2.5, 97.5))
    return float(low), float(high)


def with_interval(count: int, statistic: Callable[[np.ndarray], float]) -> tuple[float, tuple[float, float]]:
    """The value of `statistic` where each of `count` samples is counted once, and its interval by `bootstrap`."""
    return statistic(np.ones(count)), bootstrap(count, statistic)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
