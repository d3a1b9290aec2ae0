"""Profiles an artifact in processor time, in turn with the peak: shares that hold on a machine that others use.

Time that other programs take is not in it; that they slow down what caches and memory share is, so the least time of
each kernel and the highest peak count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tvmopt.benchmarks.machine.roofline import Roofline, measure_roofline
from tvmopt.benchmarks.measurements.layer_profile import KernelTime, LayerProfile
from tvmopt.pipeline.artifact.kernel_by_kernel import time_steps
from tvmopt.pipeline.artifact.loaded import load_artifact
from tvmopt.pipeline.errors import UsageError

FEWEST_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Turn:
    """One profile, and the machine's limits around it.

    Attributes:
        profile: the kernels' times.
        peak_flops: the higher of the peaks measured before and after it.
        roofline: this machine's cached roofline.
    """

    profile: LayerProfile
    peak_flops: float
    roofline: Roofline


def take_turn_on_processor(artifact: Path, threads: int, seconds: float) -> Turn:
    """Runs an artifact in this process for about `seconds`, each run beside a measurement of the peak.

    Raises:
        UsageError: for more than one thread, since only the calling thread's time is known.
    """
    if threads != 1:
        raise UsageError(f"processor time is known for one thread only; got {threads} threads: add --threads 1")
    model = load_artifact(artifact)
    model.set_inputs(model.golden_inputs)
    peak = _peak_probe()
    peaks: list[float] = []
    kernels: list[list[float]] = []
    whole: list[float] = []
    end = time.perf_counter() + seconds
    while len(whole) < FEWEST_ROUNDS or time.perf_counter() < end:
        peaks.append(peak())
        model.run_only()
        taken = time_steps(model, 1, on_processor=True)
        kernels.append([step[0] for step in taken.steps])
        whole.append(taken.whole[0])
    least = np.min(kernels, axis=0)
    times = [
        KernelTime(step.kernel, step.operator, "", step.layers, float(kernel_s))
        for step, kernel_s in zip(model.steps, least, strict=True)
    ]
    return Turn(LayerProfile.measured(times, min(whole), min(whole)), max(peaks), measure_roofline(1))


def _peak_probe() -> Callable[[], float]:
    """A function that measures the peak of multiply-adds on this thread, in FLOP/s of processor time."""
    import tvm

    from tvmopt.pipeline.compiler.build import kernel_library
    from tvmopt.schedules.llvm.probes.peak import peak_kernel
    from tvmopt.schedules.target import parse_target

    target = parse_target("llvm", 1)
    function, size, flops = peak_kernel(target)
    kernel = kernel_library({"kernel": function}, target).mod["kernel"]
    memory = tvm.runtime.tensor(np.full(size, 0.5, np.float32))

    def measure() -> float:
        start = time.process_time()
        kernel(memory)
        return flops / (time.process_time() - start)

    return measure
