"""The cost model: gradient-boosted trees that learn to rank the configs of a task by speed.

It ranks, as in Chen et al., "Learning to Optimize Tensor Programs" (NeurIPS 2018): only the order of a task's configs
matters, so it can learn from other tasks' records without a common scale. Replayed on recorded exhaustive tables,
ranking found fast configs in fewer trials than regression on speed or on its logarithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.tuning.candidates import Matrix

_ROUNDS = 40
_PARAMETERS = {
    "objective": "rank:pairwise",
    # Eight random pairs for each config, drawn among all: the model must also learn which configs are slow.
    "lambdarank_pair_method": "mean",
    "lambdarank_num_pair_per_sample": 8,
    "max_depth": 4,
    "eta": 0.2,
    "subsample": 0.9,
    "min_child_weight": 0.5,
    "tree_method": "hist",
    "max_bin": 64,
    # One thread: a fit takes a few milliseconds, and the other cores are measuring.
    "nthread": 1,
    "verbosity": 0,
}


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Measured configs that are comparable: of one workload on one machine.

    Attributes:
        features: ``(configs, features)``.
        speed: runs per second of each, 0 for those that failed, ``(configs,)``.
        weight: how much they count.
    """

    features: Matrix
    speed: npt.NDArray[np.float64]
    weight: float = 1.0


class CostModel:
    """Scores configs: the higher, the faster, on no particular scale."""

    def __init__(self, groups: Sequence[Samples], seed: int) -> None:
        """Learns from all groups at once.

        Args:
            groups: measured configs; at least one group has two.
            seed: fixes the subsampling, and with it the scores.
        """
        import xgboost

        data = xgboost.DMatrix(
            np.concatenate([group.features for group in groups]),
            label=np.concatenate([group.speed / max(group.speed.max(), 1e-30) for group in groups]),
            nthread=1,
        )
        data.set_group([len(group.speed) for group in groups])
        data.set_weight([group.weight for group in groups])
        self._booster = xgboost.train({**_PARAMETERS, "seed": seed}, data, num_boost_round=_ROUNDS)

    def predict(self, features: Matrix) -> npt.NDArray[np.float32]:
        """A score for each row of `features`."""
        scores: npt.NDArray[np.float32] = self._booster.inplace_predict(features)
        return scores
