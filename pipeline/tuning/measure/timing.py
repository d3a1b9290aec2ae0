"""Times a kernel as a model runs it.

The kernel reads its weights from wherever a whole run of the model leaves them. Where several threads share the work,
it reads its feature maps from the cores that have just written them.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.compiler.build import kernel_library
from tvmopt.pipeline.tuning.measure.quiet_machine import QuietProbe
from tvmopt.pipeline.types import Task
from tvmopt.schedules.dtypes import dtype_of
from tvmopt.schedules.operators import operator_of
from tvmopt.schedules.target import Target

REPEAT_S = 1e-3
"""Short calls are timed together for this long."""
ENOUGH_S = 14e-3
"""How long a candidate is timed."""
PATIENCE_S = 0.6
"""How long at most, when samples are still too few: the machine is not quiet, or the kernel is slow."""
MIN_SAMPLES, MAX_SAMPLES = 9, 60
HOPELESS_SAMPLES = 4
COLD_CACHES = 4
"""When the model is not known, its run is assumed to read as much between two calls as this many L2 caches hold."""
SHARED_BY = 4
"""Other programs and virtual machines share the last-level cache: this many of our kind are assumed to read as much.
In a cache of 32 MiB, weights were found gone after another 14 MB had been read."""
MOST_COLD_BYTES = 128 << 20
"""The most that is read between two calls; few last-level caches hold as much."""
HOPELESS = 2.5
"""Timing stops early for a candidate that is this many times slower than the task's best."""


Sharing = Callable[[int], AbstractContextManager[None]]
"""A context for kernels whose parallel loops have the given number of tasks; see
`pipeline.compiler.native.pool.Pool.sharing`."""


def threads_keep_their_parts(tasks: int) -> AbstractContextManager[None]:
    """The `Sharing` of threads that cannot take tasks from each other."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kernel to be timed.

    Attributes:
        name: the function's name.
        library: TVM's module that has the function.
        sharing: gives a context in which threads take the kernel's tasks from each other.
    """

    name: str
    library: Any
    sharing: Callable[[], AbstractContextManager[None]]


class KernelTimer:
    """Times candidates of one task.

    Attributes:
        task: what the candidates compute.
        target: where the candidates run.
        best_s: the fastest median so far.

    Args:
        probe: says whether the machine is quiet.
    """

    def __init__(self, task: Task, target: Target, probe: QuietProbe) -> None:
        self.task, self.target = task, target
        self.best_s = math.inf
        self._probe = probe
        self._rewriters: dict[int, Any] = {}
        self._weights = operator_of(task.workload.op).weights

    def time(self, candidate: Candidate, arguments: Sequence[Any]) -> list[float]:
        """Samples of the seconds that a call takes.

        Args:
            candidate: what to time.
            arguments: TVM's tensors, the output last.
        """
        tensors = self.task.workload.inputs
        nbytes = sum(
            math.prod(arguments[place].shape) * dtype_of(tensors[place].dtype).nbytes for place in self._weights
        )
        small = nbytes * 4 < self.target.l1_bytes
        maps = self._maps() if self.target.threads > 1 else ()
        if small and not maps:
            samples = self._sample(self._several(candidate, arguments))
        else:
            calls = [arguments] if small else self._cold(arguments, nbytes)
            samples = self._sample(self._one_by_one(candidate, calls, maps))
        self.best_s = min(self.best_s, statistics.median(samples))
        return samples

    def _maps(self) -> tuple[int, ...]:
        """Which inputs are feature maps that earlier kernels have written."""
        inputs = enumerate(self.task.workload.inputs)
        return tuple(
            i for i, tensor in inputs if i not in self._weights and tensor.block > 1 and tensor.dtype == "float32"
        )

    def _sample(self, measure: Callable[[], float]) -> list[float]:
        """Samples that `measure` gives while the machine is quiet; all its samples if the machine hardly ever is."""
        samples: list[float] = []
        others: list[float] = []
        began, quiet = time.perf_counter(), self._probe.quiet()
        while len(samples) < MAX_SAMPLES:
            passed = time.perf_counter() - began
            if (passed > ENOUGH_S and len(samples) >= MIN_SAMPLES) or passed > PATIENCE_S:
                break
            sample, before = measure(), quiet
            quiet = self._probe.quiet()
            (samples if before and quiet else others).append(sample)
            if len(samples) == HOPELESS_SAMPLES and min(samples) > HOPELESS * self.best_s:
                break
        return samples if len(samples) >= HOPELESS_SAMPLES else samples + others

    def _several(self, candidate: Candidate, arguments: Sequence[Any]) -> Callable[[], float]:
        """Back-to-back calls: everything that a kernel reads is still cached at the next call."""
        import tvm

        evaluator = partial(candidate.library.time_evaluator, candidate.name, tvm.cpu())
        with candidate.sharing():
            first = min(evaluator(number=1, repeat=3)(*arguments).results)
        timer = evaluator(number=max(1, int(REPEAT_S / max(first, 1e-7))), repeat=1)

        def several() -> float:
            with candidate.sharing():
                return float(timer(*arguments).results[0])

        return several

    def _cold(self, arguments: Sequence[Any], nbytes: int) -> list[Sequence[Any]]:
        """Arguments with copies of the weights, used in turn: a layer's weights were last read one model run ago.

        Small weights get fewer copies than would add up to what a run reads. Each copy is then read only once, after as
        much other memory as a run reads.
        """
        import tvm

        cold_bytes = SHARED_BY * self.task.streamed_bytes or COLD_CACHES * self.target.l2_bytes
        cold_bytes = min(cold_bytes, MOST_COLD_BYTES)
        copies = min(MAX_SAMPLES, math.ceil(cold_bytes / nbytes))
        weights = {place: arguments[place].numpy() for place in self._weights}
        calls = [arguments]
        for _ in range(copies - 1):
            copied = {place: tvm.runtime.tensor(array) for place, array in weights.items()}
            calls.append([copied.get(place, argument) for place, argument in enumerate(arguments)])
        if copies * nbytes < cold_bytes:
            _other_weights(cold_bytes).sum()
        return calls

    def _one_by_one(
        self, candidate: Candidate, calls: Sequence[Sequence[Any]], maps: Sequence[int]
    ) -> Callable[[], float]:
        """Single calls, each after its `maps` were rewritten."""
        run = candidate.library[candidate.name]
        rewrites = [self._rewriting(calls[0][place]) for place in maps]
        turns = itertools.cycle(calls)
        run(*calls[-1])

        def one() -> float:
            call = next(turns)
            for rewrite in rewrites:
                rewrite()
            with candidate.sharing():
                began = time.perf_counter()
                run(*call)
                return time.perf_counter() - began

        return one

    def _rewriting(self, tensor: Any) -> Callable[[], None]:
        """Makes the threads rewrite `tensor` unchanged, each its part of the channels, as most kernels divide a map."""
        import tvm

        from tvmopt.schedules.llvm.probes.rewrite_memory import rewrite_kernel

        size = math.prod(tensor.shape)
        if size not in self._rewriters:
            self._rewriters[size] = kernel_library({"kernel": rewrite_kernel(size, self.target)}, self.target)
        flat, zero = tensor._create_view((size,)), tvm.runtime.tensor(np.zeros(1, np.float32))
        return partial(self._rewriters[size]["kernel"], flat, zero)


@cache
def _other_weights(nbytes: int) -> npt.NDArray[np.float32]:
    """Memory that stands for what a run reads between two calls."""
    return np.ones(nbytes // 4, np.float32)
