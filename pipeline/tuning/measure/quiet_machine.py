"""Whether the machine is quiet: others share a virtual machine's cores, and take half of one for a while.

That lasts from a few to a few hundred milliseconds, long enough to affect all samples of a candidate. So a short
computation in registers, which nothing else can slow down, is timed between samples.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tvmopt.pipeline.compiler.build import kernel_library
from tvmopt.schedules.target import Target

STEPS = 500
"""Length of the computation: about 15 µs."""
SLOWER = 1.2
"""A time this many times the best shows other load; another program on the same core makes it 1.6 times or more."""
WARM_UPS = 20


class QuietProbe:
    """Times the computation on all threads that kernels are divided among."""

    def __init__(self, target: Target) -> None:
        import tvm

        from tvmopt.schedules.llvm.probes.peak import peak_kernel

        function, size, _ = peak_kernel(target, STEPS)
        # Both are kept: the function does not keep its library loaded.
        self._library = kernel_library({"probe": function}, target)
        self._run: Any = self._library["probe"]
        self._memory = tvm.runtime.tensor(np.full(size, 0.5, np.float32))
        self._best_s = min(self._time() for _ in range(WARM_UPS))

    def quiet(self) -> bool:
        """Whether no other program is taking part of a core right now."""
        took = self._time()
        self._best_s = min(self._best_s, took)
        return took <= SLOWER * self._best_s

    def _time(self) -> float:
        began = time.perf_counter()
        self._run(self._memory)
        return time.perf_counter() - began
