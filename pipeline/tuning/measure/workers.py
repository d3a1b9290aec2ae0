"""Measuring candidates in warm, supervised worker processes.

Candidates are built by all workers at once and then timed one at a time, so that nothing runs beside a measurement.
A worker that crashes or hangs is replaced; the candidate that it had is a trial with that status.
"""

from __future__ import annotations

import os
import select
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from tvmopt.pipeline.compiler.native.pool import write_pool
from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.tuning.measure.worker_process import MODULE, Limits, WorkerLostError, WorkerProcess
from tvmopt.pipeline.tuning.measurer import Trial
from tvmopt.pipeline.types import Task
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target

_GROUP = 4
"""Candidates that each worker builds before all of them are timed."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How candidates are measured.

    Attributes:
        count: how many processes build side by side; None for one a core, at most four.
        seed: of the random inputs.
        limits: how long a candidate may take.
        module: the workers' program.
    """

    count: int | None = None
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
    module: str = MODULE


class _Candidate(NamedTuple):
    """A config under the number that a worker knows it by."""

    number: int
    config: Config


class _Built(NamedTuple):
    """A candidate that a worker has built."""

    worker: int
    candidate: _Candidate
    cost_s: float


class WorkerMeasurer:
    """Builds, checks and times candidates; what `pipeline.tuning.search` calls.

    Args:
        target: the machine; must be this one.
        options: how.

    Attributes:
        workers: the processes.
    """

    def __init__(self, target: Target, options: WorkerOptions | None = None) -> None:
        self.target, self.options = target, options or WorkerOptions()
        self._folder = tempfile.TemporaryDirectory(prefix="tvmopt-")
        pool = Path(self._folder.name) / "pool.so"
        self._pool = pool if target.threads > 1 and write_pool(target, pool) else None
        count = self.options.count or max(1, min(4, len(os.sched_getaffinity(0))))
        self.workers = [self._new() for _ in range(count)]

    def measure(self, task: Task, configs: Sequence[Config]) -> Iterator[Trial]:
        """One trial for each config: builds of a group side by side, then its measurements in turn.

        Raises:
            BuildError: when no worker comes up.
        """
        self._prepare(task)
        waiting = deque(_Candidate(number, config) for number, config in enumerate(configs))
        while waiting:
            group = [waiting.popleft() for _ in range(min(len(waiting), _GROUP * len(self.workers)))]
            yield from self._measure_group(task, group)

    def peak_flops_per_s(self) -> float:
        """The machine's measured peak of multiply-adds at the target's threads.

        Raises:
            BuildError: when no worker comes up.
        """
        worker = self.workers[0]
        try:
            for other in self.workers:
                other.start()  # nothing runs beside the measurement
            worker.send({"command": "peak"})
            return float(worker.receive(self.options.limits.start_s)["flops_per_s"])
        except WorkerLostError as error:
            raise BuildError(f"no measurement worker comes up: {error}") from error

    def close(self) -> None:
        """Ends the workers."""
        for worker in self.workers:
            worker.end()
        self._folder.cleanup()

    def _new(self) -> WorkerProcess:
        return WorkerProcess(self.target, self.options.limits, self.options.module, self._pool)

    def _prepare(self, task: Task) -> None:
        """Makes all workers ready for `task`, side by side."""
        lost, busy = [], []
        for index, worker in enumerate(self.workers):
            try:
                if worker.begin(task, self.options.seed):
                    busy.append(index)
            except WorkerLostError:
                lost.append(index)
        for index in busy:
            try:
                self.workers[index].receive(self.options.limits.start_s)
            except WorkerLostError:
                lost.append(index)
        for index in lost:
            self._replace(index, task)

    def _replace(self, index: int, task: Task) -> None:
        """A new worker in place of one that was lost.

        Raises:
            BuildError: when the new one does not come up either.
        """
        self.workers[index].end()
        try:
            self.workers[index] = self._new()
            self.workers[index].begin(task, self.options.seed)
            self.workers[index].receive(self.options.limits.start_s)
        except WorkerLostError as error:
            raise BuildError(f"no measurement worker comes up for task {task.name}: {error}") from error

    def _measure_group(self, task: Task, group: Sequence[_Candidate]) -> Iterator[Trial]:
        waiting = deque(group)
        while waiting:
            built: deque[_Built] = deque()
            yield from self._build_group(task, waiting, built)
            yield from self._measure_built(task, built, waiting)

    def _measure_built(self, task: Task, built: deque[_Built], waiting: deque[_Candidate]) -> Iterator[Trial]:
        """Times the candidates in `built`; those that a lost worker takes with it go to `waiting`."""
        while built:
            index, candidate, build_s = built.popleft()
            worker = self.workers[index]
            began = time.monotonic()
            try:
                worker.send({"command": "measure", "id": candidate.number})
                answer = worker.receive(self.options.limits.measure_s)
            except WorkerLostError as error:
                cost_s = build_s + time.monotonic() - began
                waiting.extend(self._replace_lost(index, task, built))
                yield Trial(candidate.config, error.status, (), str(error), cost_s)
                continue
            samples = tuple(answer.get("latency_s", ()))
            yield Trial(candidate.config, answer["status"], samples, answer["error"], build_s + answer["cost_s"])

    def _build_group(self, task: Task, waiting: deque[_Candidate], built: deque[_Built]) -> Iterator[Trial]:
        """Builds what is in `waiting` on all workers; successes go to `built`, failures are yielded."""
        busy: dict[int, tuple[_Candidate, float]] = {}
        while waiting or busy:
            for index in range(len(self.workers)):
                if waiting and index not in busy:
                    self._send_build(index, task, waiting, built)
                    busy[index] = waiting.popleft(), time.monotonic()
            index = self._first_ready(busy)
            candidate, began = busy.pop(index)
            try:
                answer = self.workers[index].receive(max(0.0, began + self.options.limits.build_s - time.monotonic()))
            except WorkerLostError as error:
                waiting.extend(self._replace_lost(index, task, built))
                message = str(error) if error.status == "crash" else f"not built in {self.options.limits.build_s:g} s"
                yield Trial(candidate.config, error.status, (), message, time.monotonic() - began)
                continue
            if answer["status"] == "ok":
                built.append(_Built(index, candidate, answer["cost_s"]))
            else:
                yield Trial(candidate.config, answer["status"], (), answer["error"], answer["cost_s"])

    def _send_build(self, index: int, task: Task, waiting: deque[_Candidate], built: deque[_Built]) -> None:
        """Sends the first candidate that waits to a worker; to a new one if that has ended meanwhile.

        Raises:
            BuildError: when the new one does not come up, or ends too.
        """
        number, config = waiting[0]
        command = {"command": "build", "id": number, "config": dict(config)}
        try:
            self.workers[index].send(command)
        except WorkerLostError:
            waiting.extend(self._replace_lost(index, task, built))
            try:
                self.workers[index].send(command)
            except WorkerLostError as error:
                raise BuildError(f"measurement workers end by themselves: {error}") from error

    def _replace_lost(self, index: int, task: Task, built: deque[_Built]) -> list[_Candidate]:
        """Replaces a lost worker; what it had built is gone with it, and given back to be built again."""
        gone = [entry.candidate for entry in built if entry.worker == index]
        kept = [entry for entry in built if entry.worker != index]
        built.clear()
        built.extend(kept)
        self._replace(index, task)
        return gone

    def _first_ready(self, busy: dict[int, tuple[_Candidate, float]]) -> int:
        """A busy worker that has an answer, has ended, or is past its time."""
        streams: dict[IO[bytes], int] = {}
        for index in busy:
            stream = self.workers[index].process.stdout
            assert stream is not None
            streams[stream] = index
        deadline = min(began for _, began in busy.values()) + self.options.limits.build_s
        ready = select.select(list(streams), [], [], max(0.0, deadline - time.monotonic()))[0]
        return streams[ready[0]] if ready else min(busy, key=lambda index: busy[index][1])
