"""Starts, asks, suspends and ends worker processes, whatever they do: crash, hang or print."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tvmopt.pipeline.devices.run_once import import_path

_THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "TVM_NUM_THREADS"),
)
_TAIL_BYTES = 4096
_ENDING_S = 5.0


class WorkerError(Exception):
    """A worker raised, crashed or hung; one line."""


class WorkerHandle:
    """A worker process as its supervisor sees it; to be used as a context manager.

    Args:
        runtime: the runtime's name.
        cores: logical cores it is pinned to; their count is the number of threads.
        folder: where its standard error is kept while it runs.
    """

    def __init__(self, runtime: str, cores: Sequence[int], folder: Path) -> None:
        handle, name = tempfile.mkstemp(prefix=f"{runtime}-", suffix=".log", dir=folder)
        self._log = Path(name)
        self._suspended = False
        self._buffer = b""
        try:
            # A session of its own, so that Ctrl-C reaches the supervisor alone, which then ends the workers.
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-P", "-m", "tvmopt.benchmarks.workers.worker", runtime, ",".join(map(str, cores))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=handle,
                env=_environment(cores),
                start_new_session=True,
            )
        finally:
            os.close(handle)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def ask(self, command: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Sends a command and waits for its reply.

        Raises:
            WorkerError: when the worker raised, ended or did not answer in time (it is ended then).
        """
        doing = str(command["do"])
        self.resume()
        try:
            _pipe(self._process.stdin).write(json.dumps(command).encode() + b"\n")
            _pipe(self._process.stdin).flush()
            reply = json.loads(self._read_line(doing, timeout_s))
        except (BrokenPipeError, EOFError):
            raise WorkerError(self._describe_end(doing)) from None
        if not reply["ok"]:
            raise WorkerError(f"{doing} failed: {reply['error']}")
        return dict(reply)

    def suspend(self) -> None:
        """Stops the process where it stands, so that threads which spin take no core from others' turns."""
        if not self._suspended and self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP)
            # Until its last thread stands still (or it has ended, which is left for others to find).
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            self._suspended = True

    def resume(self) -> None:
        """Undoes `suspend`."""
        if self._suspended:
            self._process.send_signal(signal.SIGCONT)
            self._suspended = False

    def peak_memory_bytes(self) -> int | None:
        """The highest resident memory the process has had so far, or nothing where the kernel does not tell."""
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)

    def kill(self) -> None:
        """Ends the process and whatever it has started; does nothing when it is gone."""
        # Before it is waited for, so that its number is still its own.
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_ENDING_S)
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                _pipe(pipe).close()
        self._log.unlink(missing_ok=True)

    def _read_line(self, doing: str, timeout_s: float) -> bytes:
        output = _pipe(self._process.stdout).fileno()
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            if not select.select([output], [], [], max(0.0, deadline - time.monotonic()))[0]:
                self.kill()
                raise WorkerError(f"hung: no answer to {doing} in {timeout_s:.0f} s")
            chunk = os.read(output, 1 << 16)
            if not chunk:
                raise EOFError
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _describe_end(self, doing: str) -> str:
        """How the process ended, and the last line it printed."""
        try:
            code = self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            return f"closed its pipe during {doing}"
        how = f"crashed with {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        with self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - _TAIL_BYTES))
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        return f"{how} during {doing}" + (f": {lines[-1]}" if lines else "")


def _environment(cores: Sequence[int]) -> dict[str, str]:
    """The variables a worker starts with: thread counts, and where our own packages are."""
    variables = dict(os.environ, **import_path()) | dict.fromkeys(_THREAD_VARIABLES, str(len(cores)))
    # TVM binds its threads to the machine's first cores; right only when those are the ones we were given.
    variables["TVM_BIND_THREADS"] = "1" if list(cores) == list(range(len(cores))) else "0"
    return variables


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("the worker was started without pipes")
    return pipe
