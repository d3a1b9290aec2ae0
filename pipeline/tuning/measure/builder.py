"""Building candidates: the interface of a builder, and one that builds in warm processes side by side."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tvmopt.pipeline.devices.channel import WorkerLostError, first_ready
from tvmopt.pipeline.devices.device import Device
from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.tuning.measure.built_kernel import BuiltKernel
from tvmopt.pipeline.tuning.measure.worker_process import Limits, WorkerProcess
from tvmopt.pipeline.types import Task
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target

MODULE = "tvmopt.pipeline.tuning.measure.build_worker"
"""The program that builds."""


@dataclass(frozen=True, slots=True)
class Build:
    """The result of building one config.

    Attributes:
        config: what was built.
        status: ``ok``, ``compile_error``, ``timeout`` or ``crash``.
        kernel: the built kernel; None unless the status is ``ok``.
        error: the message, one line, if not ok.
        cost_s: wall time of the build.
    """

    config: Config
    status: str
    kernel: BuiltKernel | None
    error: str
    cost_s: float


class Builder(Protocol):
    """Builds candidates for one target, on whatever machine has the compiler.

    Attributes:
        width: how many it builds side by side.
    """

    width: int

    def start(self) -> None:
        """Waits until it is ready.

        Raises:
            BuildError: when it does not come up.
        """
        ...

    def build(self, task: Task, configs: Sequence[Config]) -> Iterator[Build]:
        """One build for each config, as they are done.

        The caller may close the iterator early; builds not yielded by then are dropped.

        Raises:
            BuildError: when the builder does not come up.
        """
        ...

    def close(self) -> None:
        """Ends its processes."""
        ...


class WorkerBuilder:
    """A `Builder` of several processes. A process that crashes or hangs is replaced, and its candidate has failed.

    Args:
        device: where they run.
        target: what they build for.
        limits: how long they may take.
        width: how many there are.
        module: their program.

    Attributes:
        workers: the processes.
    """

    def __init__(self, device: Device, target: Target, limits: Limits, width: int, module: str = MODULE) -> None:
        self.width = width
        self._device, self._target, self._limits, self._module = device, target, limits, module
        self.workers = [self._new() for _ in range(width)]

    def start(self) -> None:
        """Waits until all have loaded TVM.

        Raises:
            BuildError: when one does not come up.
        """
        try:
            for worker in self.workers:
                worker.start(self._limits.start_s)
        except WorkerLostError as error:
            raise BuildError(f"no measurement worker comes up: {error}") from error

    def build(self, task: Task, configs: Sequence[Config]) -> Iterator[Build]:
        """One build for each config, as they are done.

        Raises:
            BuildError: when the replacement of a lost process does not come up.
        """
        waiting = deque(configs)
        busy: dict[int, tuple[Config, float]] = {}
        while waiting or busy:
            for index in range(self.width):
                if waiting and index not in busy:
                    self._send(index, task, waiting[0])
                    busy[index] = waiting.popleft(), time.monotonic()
            index = self._first_done(busy)
            config, began = busy.pop(index)
            yield self._receive(index, task, config, began)

    def close(self) -> None:
        """Ends the processes."""
        for worker in self.workers:
            worker.channel.close()

    def _new(self) -> WorkerProcess:
        return WorkerProcess(self._device, self._module, self._target)

    def _send(self, index: int, task: Task, config: Config) -> None:
        """Sends a candidate to a process, or to a new one if that has ended."""
        command = {"command": "build", "workload": task.workload.to_json(), "config": dict(config)}
        try:
            self.workers[index].start(self._limits.start_s)
            self.workers[index].channel.send(command)
        except WorkerLostError:
            self._replace(index, task)
            try:
                self.workers[index].channel.send(command)
            except WorkerLostError as error:
                raise BuildError(f"a new measurement worker ended at once: {error}") from error

    def _replace(self, index: int, task: Task) -> None:
        """Replaces a lost process with a new one.

        Raises:
            BuildError: when the new one does not come up either.
        """
        self.workers[index].channel.close()
        self.workers[index] = self._new()
        try:
            self.workers[index].start(self._limits.start_s)
        except WorkerLostError as error:
            raise BuildError(f"no measurement worker comes up for task {task.name}: {error}") from error

    def _first_done(self, busy: dict[int, tuple[Config, float]]) -> int:
        """A busy process that has an answer, has ended, or is past its time."""
        deadline = min(began for _, began in busy.values()) + self._limits.build_s
        channels = {index: self.workers[index].channel for index in busy}
        ready = first_ready(list(channels.values()), deadline - time.monotonic())
        if ready is None:
            return min(busy, key=lambda index: busy[index][1])
        return next(index for index, channel in channels.items() if channel is ready)

    def _receive(self, index: int, task: Task, config: Config, began: float) -> Build:
        limit_s = self._limits.build_s
        try:
            answer = self.workers[index].channel.receive(max(0.0, began + limit_s - time.monotonic()))
        except WorkerLostError as error:
            cost_s = time.monotonic() - began
            self._replace(index, task)
            message = str(error) if error.status == "crash" else f"not built in {limit_s:g} s"
            return Build(config, error.status, None, message, cost_s)
        kernel = BuiltKernel.from_json(answer["kernel"]) if answer["status"] == "ok" else None
        return Build(config, answer["status"], kernel, answer["error"], answer["cost_s"])
