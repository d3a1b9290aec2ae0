"""Starts, commands, suspends and ends worker processes, even if they crash, hang or print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tvmopt.pipeline.devices.channel import WorkerLostError
from tvmopt.pipeline.devices.program import Program
from tvmopt.pipeline.devices.registry import LOCAL

MODULE = "tvmopt.benchmarks.workers.worker"
"""The workers' program."""

_THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "TVM_NUM_THREADS"),
)


class WorkerError(Exception):
    """A worker raised, crashed or hung; one line."""


class WorkerHandle:
    """The supervisor's handle of a worker process; a context manager.

    Args:
        runtime: the runtime's name.
        cores: logical cores it is pinned to; their count is the number of threads.
        variables: further environment variables.
    """

    def __init__(self, runtime: str, cores: Sequence[int], variables: Mapping[str, str] | None = None) -> None:
        arguments = (runtime, ",".join(map(str, cores)))
        program = Program(MODULE, arguments, len(cores), _variables(cores) | dict(variables or {}))
        self._channel = LOCAL.start(program)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._channel.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def ask(self, command: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Sends a command and waits for its reply.

        Raises:
            WorkerError: when the worker raised, ended or did not answer in time (a late worker is killed).
        """
        doing = str(command["do"])
        try:
            reply = self._channel.ask(command, timeout_s)
        except WorkerLostError as error:
            raise WorkerError(_describe(error, doing, timeout_s)) from None
        if not reply["ok"]:
            raise WorkerError(f"{doing} failed: {reply['error']}")
        return reply

    def suspend(self) -> None:
        """Stops the process, so that its spinning threads take no core during other runtimes' turns."""
        self._channel.suspend()

    def resume(self) -> None:
        """Undoes `suspend`."""
        self._channel.resume()

    def peak_memory_bytes(self) -> int | None:
        """The process's peak resident memory so far; None if the kernel does not report it."""
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)

    def kill(self) -> None:
        """Ends the process and its child processes; does nothing if it has already ended."""
        self._channel.close()


def _describe(error: WorkerLostError, doing: str, timeout_s: float) -> str:
    """How the process was lost, and the last line it printed."""
    if error.status == "timeout":
        return f"hung: no answer to {doing} in {timeout_s:.0f} s"
    if not error.signal and error.code is None:
        return f"{error} during {doing}"
    how = f"crashed with {error.signal}" if error.signal else f"ended with exit code {error.code}"
    return f"{how} during {doing}" + (f": {error.last_line}" if error.last_line else "")


def _variables(cores: Sequence[int]) -> dict[str, str]:
    """The environment variables of a worker, which set thread counts."""
    variables = dict.fromkeys(_THREAD_VARIABLES, str(len(cores)))
    # TVM binds its threads to the machine's first cores, which is right only if `cores` are those.
    variables["TVM_BIND_THREADS"] = "1" if list(cores) == list(range(len(cores))) else "0"
    return variables
