"""The cost model."""

from __future__ import annotations

import time

import numpy as np
from scipy.stats import spearmanr

from tests.pipeline.tuning import synthetic
from tvmopt.pipeline.tuning.candidates import Candidates
from tvmopt.pipeline.tuning.cost_model import CostModel, Samples

WORKLOAD = synthetic.convolution()
CANDIDATES = Candidates.of(synthetic.SyntheticTemplate(), WORKLOAD, synthetic.TARGET)
SPEED = np.array([1.0 / synthetic.latency_s(WORKLOAD, config) for config in CANDIDATES.configs])


def test_ranks_what_it_has_not_seen() -> None:
    order = np.random.default_rng(0).permutation(len(CANDIDATES))
    seen, unseen = order[:100], order[100:]
    model = CostModel([Samples(CANDIDATES.features[seen], SPEED[seen])], seed=0)
    assert spearmanr(model.predict(CANDIDATES.features[unseen]), SPEED[unseen]).statistic > 0.85


def test_groups_are_not_compared_with_each_other() -> None:
    """The slow half was measured on a machine a thousand times as fast; only the order within each half is valid."""
    order = np.random.default_rng(0).permutation(len(CANDIDATES))
    seen, unseen = order[:200], order[200:]
    is_fast = SPEED[seen] > np.median(SPEED)
    halves = [(seen[is_fast], 1.0), (seen[~is_fast], 1000.0)]
    model = CostModel([Samples(CANDIDATES.features[part], SPEED[part] * scale) for part, scale in halves], seed=0)
    assert spearmanr(model.predict(CANDIDATES.features[unseen]), SPEED[unseen]).statistic > 0.7


def test_failed_configs_rank_last() -> None:
    speed = np.where(CANDIDATES.features[:, 2] == 4, 0.0, SPEED)
    order = np.random.default_rng(0).permutation(len(CANDIDATES))
    model = CostModel([Samples(CANDIDATES.features[order[:150]], speed[order[:150]])], seed=0)
    scores, failed = model.predict(CANDIDATES.features[order[150:]]), speed[order[150:]] == 0.0
    assert np.median(scores[failed]) < np.quantile(scores[~failed], 0.1)


def test_the_same_seed_gives_the_same_scores() -> None:
    samples = [Samples(CANDIDATES.features[:80], SPEED[:80])]
    first, second = (CostModel(samples, seed=4).predict(CANDIDATES.features) for _ in range(2))
    assert np.array_equal(first, second)


def test_learning_and_scoring_take_no_time_beside_measuring() -> None:
    """50 ms of processor time per batch allow five trials per second; other programs do not count."""
    features = np.tile(CANDIDATES.features, (4, 1))
    samples = [Samples(features[:400], np.tile(SPEED, 4)[:400])] * 2
    took = []
    for _ in range(5):
        began = time.process_time()
        CostModel(samples, seed=0).predict(features)
        took.append(time.process_time() - began)
    assert min(took) < 0.05
