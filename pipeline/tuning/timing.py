"""Timing a kernel as a model runs it: its weights come from where a whole run of the model leaves them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.types import Task
from schedules.target import Target

REPEATS = 7
REPEAT_S = 2e-3
MIN_SAMPLES, MAX_SAMPLES = 9, 60
WEIGHTS = {"conv2d": (1,), "depthwise_conv2d": (1,), "separable_conv2d": (1, 2), "dense": (1,), "recurrence": (1,)}
"""Which inputs of an operator are its weights."""
COLD_CACHES = 4
"""Of a model that is not known, as much is taken to lie between two calls as so many second-level caches hold."""
SHARED_BY = 4
"""Last-level caches are shared with other programs and virtual machines: as if so many of our kind read as much.
Of 32 MiB, weights that were read 14 MB ago were found gone."""
MOST_COLD_BYTES = 128 << 20
"""What is read between two calls is not made larger than this, which few last-level caches hold."""
HOPELESS = 2.5
"""A candidate so many times slower than the task's best is not timed any longer."""


class KernelTimer:
    """Times candidates of one task.

    Attributes:
        task: what they compute.
        target: where they run.
        best_s: the fastest median so far.
    """

    def __init__(self, task: Task, target: Target) -> None:
        self.task, self.target = task, target
        self.best_s = math.inf

    def time(self, library: Any, arguments: Sequence[Any]) -> list[float]:
        """Seconds a call takes, as samples.

        Args:
            library: has the candidate as its function ``kernel``.
            arguments: TVM's tensors, the output last.
        """
        places = WEIGHTS.get(self.task.workload.op, ())
        nbytes = sum(math.prod(arguments[place].shape) * 4 for place in places)
        if nbytes * 4 < self.target.l1_bytes:
            samples = self._warm(library, arguments)
        else:
            samples = self._cold(library, arguments, nbytes)
        self.best_s = min(self.best_s, statistics.median(samples))
        return samples

    def _warm(self, library: Any, arguments: Sequence[Any]) -> list[float]:
        """Calls one behind the other: nothing that a kernel reads is gone by the next call."""
        import tvm

        kernel = library.mod
        first = min(kernel.time_evaluator("kernel", tvm.cpu(), number=1, repeat=3)(*arguments).results)
        number = max(1, int(REPEAT_S / max(first, 1e-7)))
        repeat = 3 if first > HOPELESS * self.best_s else REPEATS
        timer = kernel.time_evaluator("kernel", tvm.cpu(), number=number, repeat=repeat)
        return [float(sample) for sample in timer(*arguments).results]

    def _cold(self, library: Any, arguments: Sequence[Any], nbytes: int) -> list[float]:
        """Calls that take turns among copies of the weights: those of a layer were last read one run of the model ago.

        Small weights have fewer copies than would fill what a run reads. Each is then read once, after as much else.
        """
        import tvm

        cold_bytes = SHARED_BY * self.task.streamed_bytes or COLD_CACHES * self.target.l2_bytes
        cold_bytes = min(cold_bytes, MOST_COLD_BYTES)
        copies = min(MAX_SAMPLES, math.ceil(cold_bytes / nbytes))
        weights = {place: arguments[place].numpy() for place in WEIGHTS[self.task.workload.op]}
        calls = [list(arguments)]
        for _ in range(copies - 1):
            copied = {place: tvm.runtime.tensor(array) for place, array in weights.items()}
            calls.append([copied.get(place, argument) for place, argument in enumerate(arguments)])
        if copies * nbytes < cold_bytes:
            _other_weights(cold_bytes).sum()
        run = library["kernel"]
        run(*calls[-1])
        samples: list[float] = []
        deadline = time.perf_counter() + REPEATS * REPEAT_S
        while len(samples) < MAX_SAMPLES and (len(samples) < MIN_SAMPLES or time.perf_counter() < deadline):
            call = calls[len(samples) % copies]
            began = time.perf_counter()
            run(*call)
            samples.append(time.perf_counter() - began)
            if len(samples) == 4 and min(samples) > HOPELESS * self.best_s:
                break
        return samples


@cache
def _other_weights(nbytes: int) -> npt.NDArray[np.float32]:
    """What a run reads between two calls."""
    return np.ones(nbytes // 4, np.float32)
