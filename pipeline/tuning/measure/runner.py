"""Running built candidates: the interface of a runner, and one that runs them in a warm process on a device."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tvmopt.pipeline.compiler.native.pool import write_pool
from tvmopt.pipeline.devices.channel import WorkerLostError
from tvmopt.pipeline.devices.device import Device
from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.support.files import code_folder
from tvmopt.pipeline.tuning.measure.built_kernel import BuiltKernel
from tvmopt.pipeline.tuning.measure.worker_process import Limits, WorkerProcess
from tvmopt.pipeline.types import Task
from tvmopt.schedules.target import Target

MODULE = "tvmopt.pipeline.tuning.measure.run_worker"
"""The program that runs kernels."""


@dataclass(frozen=True, slots=True)
class Run:
    """The result of running one kernel.

    Attributes:
        status: ``ok``, ``wrong``, ``timeout`` or ``crash``.
        latency_s: raw samples in seconds; empty unless the status is ``ok``.
        error: the message, one line, if not ok.
        cost_s: wall time of the run.
    """

    status: str
    latency_s: tuple[float, ...]
    error: str
    cost_s: float


class Runner(Protocol):
    """Checks and times kernels on one machine, one at a time.

    Attributes:
        cpu: name of the machine's processor.
    """

    cpu: str

    def prepare(self, task: Task) -> None:
        """Starts making the inputs and the reference of `task` on the machine, without waiting for them.

        Raises:
            BuildError: when the runner does not come up.
        """
        ...

    def run(self, kernel: BuiltKernel) -> Run:
        """Checks and times a kernel of the task that was prepared last.

        Raises:
            BuildError: when the runner does not come up.
        """
        ...

    def peak_flops_per_s(self) -> float:
        """The machine's measured peak of multiply-adds, with the target's number of threads.

        Raises:
            BuildError: when the runner does not come up.
        """
        ...

    def peak_iops_per_s(self) -> float:
        """The machine's measured peak of multiply-adds of bytes, where it has kernels of integers.

        Raises:
            BuildError: when the runner does not come up.
        """
        ...

    def close(self) -> None:
        """Ends its process."""
        ...


class WorkerRunner:
    """A `Runner` in a process on a device. A process that crashes or hangs is replaced, and its kernel has failed.

    Args:
        device: where it runs.
        target: what kernels are built for; the device must be able to run it.
        limits: how long a kernel may take.
        seed: seed of the random inputs.
        module: the program of the process.

    Attributes:
        cpu: name of the device's processor.
        worker: the process.
    """

    def __init__(self, device: Device, target: Target, limits: Limits, seed: int = 0, module: str = MODULE) -> None:
        self.cpu = device.facts().cpu
        self._device, self._target, self._limits, self._seed, self._module = device, target, limits, seed, module
        self._folder = tempfile.TemporaryDirectory(prefix="tvmopt-", dir=code_folder())
        pool = Path(self._folder.name) / "pool.so"
        self._pool = device.send(pool) if target.threads > 1 and write_pool(target, pool) else ""
        self._task: Task | None = None
        self._prepared = True
        self.worker = self._new()

    def prepare(self, task: Task) -> None:
        """Starts making the inputs and the reference of `task` in the process, without waiting for them.

        Raises:
            BuildError: when no process comes up.
        """
        if self._task is not None and self._task.name == task.name:
            return
        self._task = task
        try:
            self._begin(task)
        except WorkerLostError:
            self._replace()

    def run(self, kernel: BuiltKernel) -> Run:
        """Checks and times a kernel of the task that was prepared last.

        Raises:
            BuildError: when no process comes up.
        """
        self._wait()
        began = time.monotonic()
        try:
            answer = self.worker.channel.ask({"command": "run", "kernel": kernel.to_json()}, self._limits.measure_s)
        except WorkerLostError as error:
            cost_s = time.monotonic() - began
            self._replace()
            return Run(error.status, (), str(error), cost_s)
        return Run(answer["status"], tuple(answer.get("latency_s", ())), answer["error"], answer["cost_s"])

    def peak_flops_per_s(self) -> float:
        """The device's measured peak of multiply-adds, with the target's number of threads.

        Raises:
            BuildError: when no process comes up.
        """
        return self._peak("peak")

    def peak_iops_per_s(self) -> float:
        """The device's measured peak of multiply-adds of bytes, where it has kernels of integers.

        Raises:
            BuildError: when no process comes up.
        """
        return self._peak("integer peak")

    def _peak(self, command: str) -> float:
        try:
            self.worker.start(self._limits.start_s)
            return float(self.worker.channel.ask({"command": command}, self._limits.start_s)["operations_per_s"])
        except WorkerLostError as error:
            raise BuildError(f"no measurement worker comes up: {error}") from error

    def close(self) -> None:
        """Ends the process."""
        self.worker.channel.close()
        self._folder.cleanup()

    def _new(self) -> WorkerProcess:
        return WorkerProcess(self._device, self._module, self._target, {"pool": self._pool})

    def _begin(self, task: Task) -> None:
        self.worker.start(self._limits.start_s)
        streamed = {"streamed_bytes": task.streamed_bytes}
        self.worker.channel.send(
            {"command": "task", "workload": task.workload.to_json(), "seed": self._seed, **streamed}
        )
        self._prepared = False

    def _wait(self) -> None:
        """Waits for the inputs and the reference; replaces the process if it was lost meanwhile."""
        try:
            self._finish()
            if not self.worker.channel.alive:
                self._replace()
        except WorkerLostError:
            self._replace()

    def _finish(self) -> None:
        if not self._prepared:
            self.worker.channel.receive(self._limits.start_s)
            self._prepared = True

    def _replace(self) -> None:
        """Replaces a lost process with a new one, ready for the task.

        Raises:
            BuildError: when it does not come up either.
        """
        assert self._task is not None
        self.worker.channel.close()
        self.worker = self._new()
        try:
            self._begin(self._task)
            self._finish()
        except WorkerLostError as error:
            raise BuildError(f"no measurement worker comes up for task {self._task.name}: {error}") from error
