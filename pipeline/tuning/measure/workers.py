"""Measures candidates: several processes build them at once, then they run one at a time.

So nothing runs beside a measurement. Built kernels go from the builder to the runner as bytes
(`pipeline.tuning.measure.built_kernel`); the two need not be on one machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tvmopt.pipeline.compiler.native.linker import linker_of
from tvmopt.pipeline.devices.device import Device
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.tuning.measure import builder, runner
from tvmopt.pipeline.tuning.measure.builder import Builder, WorkerBuilder
from tvmopt.pipeline.tuning.measure.built_kernel import BuiltKernel
from tvmopt.pipeline.tuning.measure.runner import Runner, WorkerRunner
from tvmopt.pipeline.tuning.measure.worker_process import Limits
from tvmopt.pipeline.tuning.measurer import Trial
from tvmopt.pipeline.types import Task
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target

_GROUP = 4
"""Candidates that each process builds before all of them are run."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How candidates are measured.

    Attributes:
        device: where they run.
        count: how many processes build side by side on this machine; None for one per core, at most four.
        seed: seed of the random inputs.
        limits: how long a candidate may take.
        build_module: the program that builds.
        run_module: the program that runs what was built.
    """

    device: Device = LOCAL
    count: int | None = None
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
    build_module: str = builder.MODULE
    run_module: str = runner.MODULE


class WorkerMeasurer:
    """Builds, checks and times candidates for `pipeline.tuning.search`.

    Args:
        target: what to build for; the device must be able to run it.
        options: how to measure.

    Attributes:
        builder: builds, on this machine.
        runner: runs, on the device.
        cpu: name of the device's processor.

    Raises:
        RuntimeMissingError: when there is no linker for the target.
    """

    def __init__(self, target: Target, options: WorkerOptions | None = None) -> None:
        linker_of(target)  # fails now rather than with every candidate
        options = options or WorkerOptions()
        width = options.count or max(1, min(4, len(LOCAL.facts().usable_cores)))
        self.builder: Builder = WorkerBuilder(LOCAL, target, options.limits, width, options.build_module)
        self.runner: Runner = WorkerRunner(options.device, target, options.limits, options.seed, options.run_module)
        self.cpu = self.runner.cpu

    def measure(self, task: Task, configs: Sequence[Config]) -> Iterator[Trial]:
        """One trial for each config: builds a group side by side, then measures it one by one.

        Raises:
            BuildError: when no worker comes up.
        """
        self.runner.prepare(task)
        size = _GROUP * self.builder.width
        for start in range(0, len(configs), size):
            yield from self._measure_group(task, configs[start : start + size])

    def peak_flops_per_s(self) -> float:
        """The device's measured peak of multiply-adds, with the target's number of threads.

        Raises:
            BuildError: when no worker comes up.
        """
        self.builder.start()  # nothing runs beside the measurement
        return self.runner.peak_flops_per_s()

    def peak_iops_per_s(self) -> float:
        """The device's measured peak of multiply-adds of bytes, where it has kernels of integers.

        Raises:
            BuildError: when no worker comes up.
        """
        self.builder.start()
        return self.runner.peak_iops_per_s()

    def close(self) -> None:
        """Ends the workers."""
        self.builder.close()
        self.runner.close()

    def _measure_group(self, task: Task, group: Sequence[Config]) -> Iterator[Trial]:
        built: list[tuple[BuiltKernel, float]] = []
        for build in self.builder.build(task, group):
            if build.kernel is None:
                yield Trial(build.config, build.status, (), build.error, build.cost_s)
            else:
                built.append((build.kernel, build.cost_s))
        for kernel, build_s in built:
            run = self.runner.run(kernel)
            yield Trial(kernel.config, run.status, run.latency_s, run.error, build_s + run.cost_s)
