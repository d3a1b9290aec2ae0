"""Which task gets the next trials: the one whose weight in the model and prospect of gain promise most time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.tuning.progress import Progress

_TREND = 0.2
_HEADROOM = 0.9
_WINDOW = 16
_HOPELESS = 64


class Scheduler:
    """Gradient-based task scheduling after Zheng et al., "Ansor" (OSDI 2020), section 6.

    Every task gets a few trials first, the heaviest first. Then the next trials go where the expected gain is largest:
    weight × (0.2 × what the latest trials gained each + 0.8 × what is still to gain). What is still to gain is at most
    latency / trials, for returns diminish, and at most the distance to a roofline whose peaks are the highest
    throughput and bandwidth that any task of this run has reached, and a tenth.
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
            return max(cold, key=lambda task: (-len(task.bests), task.task.weight * (task.flops + _bytes(task))))
        return max(active, key=self._promise, default=None)

    def _promise(self, progress: Progress) -> tuple[float, float]:
        """Seconds of the model's time that one more trial may save, then a rule for ties."""
        trials, weight = len(progress.bests), progress.task.weight
        bound = self._bound_s(progress)
        best = progress.best_s
        if best is None:
            # Nothing has worked yet: as if it ran at a tenth of the roofline, but not for ever.
            best = 10.0 * bound if trials < _HOPELESS else bound
        past = progress.bests[-1 - min(_WINDOW, trials - 1)]
        trend = max(0.0, past - best) / _WINDOW if math.isfinite(past) else 0.0
        hope = min(best / trials, max(0.0, best - _HEADROOM * bound))
        return weight * (_TREND * trend + (1 - _TREND) * hope), weight * best / trials

    def _bound_s(self, progress: Progress) -> float:
        """The roofline's latency for this task in seconds."""
        measured = [(task.best_s, task) for task in self._tasks]
        flops = max((task.flops / best for best, task in measured if best), default=1e9)
        bandwidth = max((_bytes(task) / best for best, task in measured if best), default=1e9)
        return max(progress.flops / max(flops, 1.0), _bytes(progress) / bandwidth)


def _bytes(progress: Progress) -> int:
    workload = progress.task.workload
    return sum(tensor.nbytes for tensor in (*workload.inputs, workload.output))
