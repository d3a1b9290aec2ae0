"""Tuners choose which config of a task to measure next. `TUNERS` lists them; `base` has their common part."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tvmopt.pipeline.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from tvmopt.pipeline.tuning.candidates import Candidates
    from tvmopt.pipeline.tuning.tuners.base import Tuner
    from tvmopt.pipeline.tuning.tuners.xgboost import Related

TUNERS: dict[str, str] = {
    "xgb": "gradient-boosted trees rank the configs, learning also from related tasks",
    "ga": "genetic: children of the fastest so far",
    "random": "random order, no repetition",
    "grid": "every config in order",
}
"""Names of the tuners and what each does; the command line's help lists them, so reading them loads no tuner."""


def check_tuner(name: str) -> None:
    """Checks that `name` is one of `TUNERS`.

    Raises:
        UsageError: if not, with the nearest names.
    """
    if name not in TUNERS:
        raise UsageError(did_you_mean("tuner", name, TUNERS))


def make_tuner(name: str, candidates: Candidates, seed: int, related: Related = tuple) -> Tuner:
    """A new tuner for one task.

    Args:
        name: a key of `TUNERS`.
        candidates: the task's configs.
        seed: tuners with the same seed and the same results propose the same configs.
        related: samples of other tasks, looked up anew each time; only ``xgb`` uses them.

    Raises:
        UsageError: when there is no such tuner.
    """
    from tvmopt.pipeline.tuning.tuners.genetic import GeneticTuner
    from tvmopt.pipeline.tuning.tuners.grid import GridTuner
    from tvmopt.pipeline.tuning.tuners.random import RandomTuner
    from tvmopt.pipeline.tuning.tuners.xgboost import XGBoostTuner

    check_tuner(name)
    if name == "xgb":
        return XGBoostTuner(candidates, seed, related)
    classes: dict[str, Callable[[Candidates, int], Tuner]]
    classes = {"ga": GeneticTuner, "random": RandomTuner, "grid": GridTuner}
    return classes[name](candidates, seed)
