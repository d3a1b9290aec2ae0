"""Whether the machine is quiet: others share a virtual machine's cores, and take half of one for a while.

Such a while lasts from a few to some hundred milliseconds: all samples of a candidate may fall into it. So the time of
a short computation in registers, which nothing else can slow down, is taken between samples.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tvmopt.pipeline.compiler.build import kernel_library
from tvmopt.schedules.target import Target

STEPS = 500
"""Length of the computation: some 15 µs."""
SLOWER = 1.2
"""So many times the best time tells of others; one that shares a core takes 1.6 times and more."""
WARM_UPS = 20


class QuietProbe:
    """Takes the time of the computation on all threads that kernels are divided among."""

    def __init__(self, target: Target) -> None:
        import tvm

        from tvmopt.schedules.llvm.probes.peak import peak_kernel

        function, size, _ = peak_kernel(target, STEPS)
        # Both are kept: the function does not hold its library.
        self._library = kernel_library({"probe": function}, target)
        self._run: Any = self._library["probe"]
        self._memory = tvm.runtime.tensor(np.full(size, 0.5, np.float32))
        self._best_s = min(self._time() for _ in range(WARM_UPS))

    def quiet(self) -> bool:
        """Whether no other program took part of a core just now."""
        took = self._time()
        self._best_s = min(self._best_s, took)
        return took <= SLOWER * self._best_s

    def _time(self) -> float:
        began = time.perf_counter()
        self._run(self._memory)
        return time.perf_counter() - began
