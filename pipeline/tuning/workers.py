"""Measuring candidates in warm, supervised worker processes.

Candidates are built by all workers at once and then timed one at a time, so that nothing runs beside a measurement.
A worker that crashes or hangs is replaced; the candidate that it had is a trial with that status.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import BuildError
from pipeline.tuning.measure_types import Trial
from pipeline.types import Task
from schedules.space import Config
from schedules.target import Target

BUILD_LIMIT_S = 20.0
MEASURE_LIMIT_S = 30.0
START_LIMIT_S = 120.0


class WorkerLostError(Exception):
    """The worker ended or did not answer in time; the message says which."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class WorkerProcess:
    """One worker: sends a command, waits for its answer, no longer than allowed."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.task: str | None = None
        self._pending = b""
        root = str(Path(__file__).resolve().parents[2])
        environment = dict(os.environ, TVM_NUM_THREADS=str(target.threads), OMP_NUM_THREADS="1")
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        environment.pop("TVM_USE_RUNTIME_LIB", None)
        # A session of its own: Ctrl-C is for the search, which then ends the workers in good order.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.tuning.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self.started = False
        self.send({"command": "target", "target": target.to_json()})

    def send(self, command: dict[str, Any]) -> None:
        """Sends a command without waiting.

        Raises:
            WorkerLostError: when the process has ended.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise WorkerLostError("crash", f"the worker ended with code {self.process.wait()}") from None

    def receive(self, limit_s: float) -> dict[str, Any]:
        """The next answer.

        Raises:
            WorkerLostError: when the process ended, or `limit_s` seconds passed.
        """
        assert self.process.stdout is not None
        deadline = time.monotonic() + limit_s
        while b"\n" not in self._pending:
            remaining = deadline - time.monotonic()
            ready = remaining > 0 and select.select([self.process.stdout], [], [], remaining)[0]
            if not ready:
                raise WorkerLostError("timeout", f"no answer within {limit_s:g} s")
            chunk = os.read(self.process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise WorkerLostError("crash", f"the worker ended with code {self.process.wait()}")
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def start(self) -> None:
        """Waits until TVM is loaded.

        Raises:
            WorkerLostError: when it does not come up.
        """
        if not self.started:
            self.receive(START_LIMIT_S)
            self.started = True

    def prepare(self, task: Task, seed: int) -> None:
        """Makes the worker ready for `task`: TVM loaded, reference computed."""
        self.start()
        if self.task != task.name:
            self.send({"command": "task", "workload": task.workload.to_json(), "seed": seed})
            self.receive(START_LIMIT_S)
            self.task = task.name

    def end(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


class WorkerMeasurer:
    """Builds, checks and times candidates; what `pipeline.tuning.search` calls.

    Args:
        target: the machine; must be this one.
        workers: how many processes build side by side.
        seed: of the random inputs.
    """

    def __init__(self, target: Target, workers: int | None = None, seed: int = 0) -> None:
        self.target, self.seed = target, seed
        count = workers or max(1, min(4, len(os.sched_getaffinity(0))))
        self.workers = [WorkerProcess(target) for _ in range(count)]

    def measure(self, task: Task, configs: Sequence[Config]) -> Iterator[Trial]:
        """One trial for each config: builds of a group side by side, then its measurements in turn."""
        self._prepare(task)
        waiting = deque(enumerate(configs))
        while waiting:
            group = [waiting.popleft() for _ in range(min(len(waiting), 4 * len(self.workers)))]
            yield from self._measure_group(task, group)

    def peak_flops_per_s(self) -> float:
        """The machine's measured peak of multiply-adds at the target's threads.

        Raises:
            BuildError: when no worker comes up.
        """
        worker = self.workers[0]
        try:
            worker.start()
            worker.send({"command": "peak"})
            return float(worker.receive(START_LIMIT_S)["flops_per_s"])
        except WorkerLostError as error:
            raise BuildError(f"no measurement worker comes up: {error}") from error

    def close(self) -> None:
        """Ends the workers."""
        for worker in self.workers:
            worker.end()

    def _prepare(self, task: Task) -> None:
        for index, worker in enumerate(self.workers):
            try:
                worker.prepare(task, self.seed)
            except WorkerLostError:
                self._replace(index, task)

    def _replace(self, index: int, task: Task) -> None:
        """A new worker in place of one that was lost.

        Raises:
            BuildError: when the new one does not come up either.
        """
        self.workers[index].end()
        try:
            self.workers[index] = WorkerProcess(self.target)
            self.workers[index].prepare(task, self.seed)
        except WorkerLostError as error:
            raise BuildError(f"no measurement worker comes up for task {task.name}: {error}") from error

    def _measure_group(self, task: Task, group: list[tuple[int, Config]]) -> Iterator[Trial]:
        built: list[tuple[int, int, Config, float]] = []
        for trial in self._build_group(task, group, built):
            yield trial
        for position, (index, identity, config, build_s) in enumerate(built):
            worker = self.workers[index]
            try:
                worker.send({"command": "measure", "id": identity})
                answer = worker.receive(MEASURE_LIMIT_S)
            except WorkerLostError as error:
                self._replace(index, task)
                yield Trial(config, error.status, (), str(error), build_s)
                # What else the lost worker had built is gone with it; build it again.
                lost = [(i, c) for w, i, c, _ in built[position + 1 :] if w == index]
                kept = [entry for entry in built[position + 1 :] if entry[0] != index]
                built[position + 1 :] = kept
                yield from self._measure_group(task, lost)
                continue
            cost = build_s + answer["cost_s"]
            yield Trial(config, answer["status"], tuple(answer.get("latency_s", ())), answer["error"], cost)

    def _build_group(
        self, task: Task, group: list[tuple[int, Config]], built: list[tuple[int, int, Config, float]]
    ) -> Iterator[Trial]:
        """Builds `group` on all workers; successes go to `built`, failures are yielded."""
        waiting = deque(group)
        busy: dict[int, tuple[int, Config, float]] = {}
        while waiting or busy:
            for index, worker in enumerate(self.workers):
                if waiting and index not in busy:
                    identity, config = waiting.popleft()
                    try:
                        worker.send({"command": "build", "id": identity, "config": dict(config)})
                    except WorkerLostError:
                        waiting.appendleft((identity, config))
                        self._rebuild_lost(index, task, built, waiting)
                        continue
                    busy[index] = (identity, config, time.monotonic())
            index = self._first_ready(busy)
            identity, config, began = busy.pop(index)
            try:
                answer = self.workers[index].receive(max(0.0, began + BUILD_LIMIT_S - time.monotonic()))
            except WorkerLostError as error:
                yield Trial(config, error.status, (), str(error), time.monotonic() - began)
                self._rebuild_lost(index, task, built, waiting)
                continue
            if answer["status"] == "ok":
                built.append((index, identity, config, answer["cost_s"]))
            else:
                yield Trial(config, answer["status"], (), answer["error"], answer["cost_s"])

    def _rebuild_lost(
        self,
        index: int,
        task: Task,
        built: list[tuple[int, int, Config, float]],
        waiting: deque[tuple[int, Config]],
    ) -> None:
        """Replaces a lost worker; what it had built waits again."""
        waiting.extend((identity, config) for worker, identity, config, _ in built if worker == index)
        built[:] = [entry for entry in built if entry[0] != index]
        self._replace(index, task)

    def _first_ready(self, busy: dict[int, tuple[int, Config, float]]) -> int:
        """A busy worker that has an answer, has ended, or is past its time."""
        streams = {self.workers[index].process.stdout: index for index in busy}
        deadline = min(began for _, _, began in busy.values()) + BUILD_LIMIT_S
        ready = select.select(list(streams), [], [], max(0.0, deadline - time.monotonic()))[0]
        if ready:
            return streams[ready[0]]
        return min(busy, key=lambda index: busy[index][2])
