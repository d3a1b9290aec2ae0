"""Medians, intervals, ratios and verdicts, against known values."""

from __future__ import annotations

import numpy as np
import pytest

from tvmopt.benchmarks.measurements.statistics import judge, ratio_of_medians, split_turns, summarize


def noisy_turns(seed: int, scale: float = 1.0, rounds: int = 20, calls: int = 8) -> list[list[float]]:
    """Calls of about 10 ms with noise shared by a whole turn, as caused by load on the machine."""
    random = np.random.default_rng(seed)
    shared = random.normal(0.0, 2e-4, (rounds, 1))
    own = random.normal(0.0, 1e-4, (rounds, calls))
    return [[float(value) for value in turn] for turn in scale * (0.01 + shared + own)]


def test_known_values() -> None:
    latency = summarize([[0.001, 0.002], [0.003, 0.004], [0.005], [0.006, 0.007, 0.008], [0.009], [0.010]])
    assert latency.median == latency.p50 == pytest.approx(0.0055)
    assert latency.mean == pytest.approx(0.0055)
    assert latency.p90 == pytest.approx(0.0091)
    assert latency.p99 == pytest.approx(0.00991)
    assert latency.stdev == pytest.approx(0.0030276504)
    assert latency.turns == (2, 2, 1, 3, 1, 1)
    assert latency.interval[0] < latency.median < latency.interval[1]


def test_constant_samples_have_no_width() -> None:
    latency = summarize([[0.002]] * 5)
    assert latency.interval == (0.002, 0.002)
    assert latency.stdev == 0.0


def test_split_turns_inverts_summarize() -> None:
    turns = [[0.1], [0.2, 0.3], [0.4], [0.5, 0.6, 0.7], [0.8]]
    assert [list(turn) for turn in split_turns(summarize(turns))] == turns


@pytest.mark.parametrize("turns", [[[0.1]] * 4, [[0.1]] * 5 + [[]]])
def test_too_few_turns_are_refused(turns: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="at least 5 turns"):
        summarize(turns)


def test_interval_covers_the_true_median_when_turns_share_noise() -> None:
    covered = [low <= 0.01 <= high for low, high in (summarize(noisy_turns(seed)).interval for seed in range(60))]
    # 95 % of 60 are 57; resampling single calls as if they were independent gives about 40.
    assert sum(covered) >= 50


def test_a_drift_that_both_share_cancels_in_the_ratio() -> None:
    drift = np.linspace(1.0, 1.6, 20)
    ours = summarize([[0.8 * 0.01 * step, 0.8 * 0.0101 * step] for step in drift])
    theirs = summarize([[0.01 * step, 0.0101 * step] for step in drift])
    ratio, (low, high) = ratio_of_medians(ours, theirs)
    assert ratio == pytest.approx(0.8)
    assert low == pytest.approx(0.8)
    assert high == pytest.approx(0.8)
    assert ours.interval[1] / ours.interval[0] > 1.1


def test_ratio_needs_the_same_rounds() -> None:
    with pytest.raises(ValueError, match="got 5 and 6"):
        ratio_of_medians(summarize([[0.1]] * 5), summarize([[0.1]] * 6))


@pytest.mark.slow
def test_the_same_runtime_twice_is_no_different() -> None:
    verdicts = []
    for seed in range(20):
        _, interval = ratio_of_medians(summarize(noisy_turns(seed)), summarize(noisy_turns(seed + 100)))
        verdicts.append(judge(interval))
    assert verdicts.count("no difference") >= 16


def test_a_real_difference_is_seen() -> None:
    _, interval = ratio_of_medians(summarize(noisy_turns(1, scale=0.9)), summarize(noisy_turns(2)))
    assert judge(interval) == "faster"
    _, interval = ratio_of_medians(summarize(noisy_turns(2)), summarize(noisy_turns(1, scale=0.9)))
    assert judge(interval) == "slower"


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [((0.8, 0.9), "faster"), ((0.8, 1.0), "no difference"), ((1.0, 1.2), "no difference"), ((1.01, 1.2), "slower")],
)
def test_verdicts(interval: tuple[float, float], outcome: str) -> None:
    assert judge(interval) == outcome
