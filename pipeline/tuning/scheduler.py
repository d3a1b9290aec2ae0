"""Which task gets the next trials: the one that is expected to save the model most time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tvmopt.pipeline.tuning.progress import Progress

_TREND = 0.2
_HEADROOM = 0.9
_WINDOW = 16
_HOPELESS = 64
_GUESS = 1e9


class Scheduler:
    """Gradient-based task scheduling after Zheng et al., "Ansor" (OSDI 2020), section 6.

    First every task gets a few trials, the heaviest first. Then the next trials go where the expected gain is largest:
    weight × (0.2 × recent gain per trial + 0.8 × remaining gain). The remaining gain is at most latency / trials, since
    returns diminish, and at most the distance to 0.9 × the roofline's latency. The roofline's peaks are the highest
    throughput and bandwidth that any task of this run has reached.
    """

    def __init__(self, tasks: Sequence[Progress], first: int) -> None:
        """Starts with `first` trials for each task."""
        self._tasks = tasks
        self._first = first

    def next(self) -> Progress | None:
        """The task for the next trials; None when all have ended."""
        active = [task for task in self._tasks if not task.ended]
        cold = [task for task in active if len(task.bests) < self._first]
        if cold:
            return max(cold, key=lambda task: (-len(task.bests), task.task.weight * (task.flops + task.nbytes)))
        measured = [(task, task.best_s) for task in self._tasks]
        roof = TaskBound(
            flops_per_s=max((task.flops / best_s for task, best_s in measured if best_s), default=0.0),
            bytes_per_s=max((task.nbytes / best_s for task, best_s in measured if best_s), default=0.0),
        )
        return max(active, key=lambda task: _promise(task, roof), default=None)


@dataclass(frozen=True, slots=True)
class TaskBound:
    """The highest throughput and bandwidth that any task has reached; 0 when none was measured."""

    flops_per_s: float
    bytes_per_s: float

    def bound_s(self, task: Progress) -> float:
        """The latency that a task would have at the roof, in seconds."""
        return max(task.flops / (self.flops_per_s or _GUESS), task.nbytes / (self.bytes_per_s or _GUESS))


def _promise(task: Progress, roof: TaskBound) -> tuple[float, float]:
    """Seconds of the model's time that one more trial may save, then a tie-breaker."""
    trials, weight, bound_s = len(task.bests), task.task.weight, roof.bound_s(task)
    best_s = task.best_s
    if best_s is None:
        # No trial has succeeded yet: assume a tenth of the roofline's speed, but only for `_HOPELESS` trials.
        best_s = 10.0 * bound_s if trials < _HOPELESS else bound_s
    past_s = task.bests[-1 - min(_WINDOW, trials - 1)]
    trend = max(0.0, past_s - best_s) / _WINDOW if math.isfinite(past_s) else 0.0
    hope = min(best_s / trials, max(0.0, best_s - _HEADROOM * bound_s))
    return weight * (_TREND * trend + (1 - _TREND) * hope), weight * best_s / trials
