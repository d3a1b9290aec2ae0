"""One worker process from the outside: commands go in, answers come out, and neither is waited for too long."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvmopt.pipeline.devices.run_once import environment_of
from tvmopt.pipeline.types import Task
from tvmopt.schedules.target import Target

MODULE = "tvmopt.pipeline.tuning.measure.worker"
"""The program of a worker."""

_ERROR_BYTES = 4096
_EXIT_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a worker may take, in seconds.

    Attributes:
        build_s: to build one candidate.
        measure_s: to check and time one candidate.
        start_s: to load TVM, to make a task's inputs and reference, or to measure the peak.
    """

    build_s: float = 20.0
    measure_s: float = 30.0
    start_s: float = 120.0


class WorkerLostError(Exception):
    """The worker ended or did not answer in time; the message says which.

    Attributes:
        status: of the trial that it had: ``crash`` or ``timeout``.
    """

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class WorkerProcess:
    """A worker for one target.

    Args:
        target: what it builds for and measures on.
        limits: how long it may take.
        module: its program.
        pool: library with the threads of kernels (`pipeline.compiler.native.pool`); None for TVM's.

    Attributes:
        process: the process.
        task: name of the task that it is ready for; None before the first.
    """

    def __init__(self, target: Target, limits: Limits, module: str = MODULE, pool: Path | None = None) -> None:
        self.limits = limits
        self.task: str | None = None
        self._started = False
        self._serial = 0
        self._pending = b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the process lives
        # A session of its own: Ctrl-C is for the search, which then ends the workers in good order.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment_of(target.threads),
            start_new_session=True,
        )
        self.send({"command": "target", "target": target.to_json(), "pool": str(pool or "")})

    def send(self, command: dict[str, Any]) -> None:
        """Sends a command without waiting.

        Raises:
            WorkerLostError: when the process has ended.
        """
        assert self.process.stdin is not None
        self._serial += 1
        try:
            self.process.stdin.write(json.dumps({**command, "serial": self._serial}).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise self._lost() from None

    def receive(self, limit_s: float) -> dict[str, Any]:
        """The answer to the last command; answers to earlier ones, that nobody waited for, are passed over.

        Raises:
            WorkerLostError: when the process ended, or `limit_s` seconds passed.
        """
        deadline = time.monotonic() + limit_s
        while True:
            answer: dict[str, Any] = json.loads(self._line(deadline, limit_s))
            if answer["serial"] == self._serial:
                return answer

    def start(self) -> None:
        """Waits until TVM is loaded.

        Raises:
            WorkerLostError: when it does not come up.
        """
        if not self._started:
            self.receive(self.limits.start_s)
            self._started = True

    def begin(self, task: Task, seed: int) -> bool:
        """Has the worker make the inputs and the reference of `task`; whether there is anything to wait for.

        Raises:
            WorkerLostError: when the process has ended.
        """
        if self.task == task.name:
            return False
        self.start()
        streamed = {"streamed_bytes": task.streamed_bytes}
        self.send({"command": "task", "workload": task.workload.to_json(), "seed": seed, **streamed})
        self.task = task.name
        return True

    def end(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._errors):
            with contextlib.suppress(BrokenPipeError):  # a command that the process did not live to take
                if stream is not None:
                    stream.close()

    def _line(self, deadline: float, limit_s: float) -> bytes:
        assert self.process.stdout is not None
        while b"\n" not in self._pending:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not select.select([self.process.stdout], [], [], remaining)[0]:
                raise WorkerLostError("timeout", f"no answer within {limit_s:g} s")
            chunk = os.read(self.process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise self._lost()
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _lost(self) -> WorkerLostError:
        """Why the process ended: the signal, or the last line of what it wrote to its standard error."""
        try:
            code = self.process.wait(_EXIT_LIMIT_S)
        except subprocess.TimeoutExpired:  # it has closed its streams but still lives, to no use
            self.process.kill()
            code = self.process.wait()
        if code < 0:
            return WorkerLostError("crash", f"the worker was ended by {signal.Signals(-code).name}")
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - _ERROR_BYTES))
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return WorkerLostError("crash", f"the worker ended with code {code}" + (f": {lines[-1]}" if lines else ""))
