"""The channel to a running program: sends commands and receives answers, with a limit on every wait.

A program is a command with two pipes; whether it runs here or at the other end of ``ssh`` makes no difference. Commands
and answers are lines of JSON. A command has a serial number, which its answer repeats.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, Any, Self

GREETING = "tvmopt program 1"
"""The first line that a program writes. Output before it, such as that of login scripts, is ignored."""

_CHUNK_BYTES = 1 << 16
_MOST_BEFORE_GREETING = 1 << 20
_ERROR_BYTES = 4096
_SHOWN = 80
_EXIT_LIMIT_S = 5.0
_KILL_LIMIT_S = 120.0  # a killed process always ends, but on a busy machine it takes time to give its memory back


class WorkerLostError(Exception):
    """A program ended, sent an invalid answer or sent none in time; it no longer runs. The message is one line.

    Attributes:
        status: ``crash`` or ``timeout``.
        signal: name of the signal that ended it, or empty.
        code: its exit code, or None when it did not end by itself.
        last_line: the last line that it wrote to its standard error, or empty.
    """

    def __init__(
        self, status: str, message: str, *, ended: tuple[str, int | None] = ("", None), last: str = ""
    ) -> None:
        super().__init__(message)
        self.status, self.last_line = status, last
        self.signal, self.code = ended


class Channel:
    """A running program; use it as a context manager, or close it.

    Args:
        command: starts it.
        environment: all of its environment variables.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._serial = 0
        self._greeted = self._suspended = False
        self._outgoing = memoryview(b"")
        # Complete lines that nobody has read yet, and the beginning of the next. Joining chunks as bytes would copy
        # what came before with every chunk: minutes, for a long line.
        self._lines: deque[bytes] = deque()
        self._incoming = bytearray()
        self._end: WorkerLostError | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the process lives
        # In its own session: Ctrl-C reaches only this process, which then ends the others in order.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            start_new_session=True,
            bufsize=0,
        )
        self._input, self._output = _pipe(self._process.stdin), _pipe(self._process.stdout)
        os.set_blocking(self._input.fileno(), False)

    @property
    def pid(self) -> int:
        """The process id on this machine."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, command: Mapping[str, Any]) -> None:
        """Sends a command without waiting; what does not fit the pipe is sent while `receive` waits for the answer.

        Raises:
            WorkerLostError: when the program has ended.
        """
        self._check()
        self.resume()
        self._serial += 1
        line = json.dumps({**command, "serial": self._serial}).encode() + b"\n"
        self._outgoing = memoryview(bytes(self._outgoing) + line)
        self._write()

    def receive(self, limit_s: float) -> dict[str, Any]:
        """The answer to the last command, or the next of several; skips answers to earlier ones.

        Raises:
            WorkerLostError: when the program ended, sent an invalid answer, or `limit_s` seconds passed.
        """
        deadline = time.monotonic() + limit_s
        while True:
            while not self._lines:
                self._check()
                if first_ready([self], deadline - time.monotonic()) is None:
                    raise self._ended(WorkerLostError("timeout", f"no answer within {limit_s:g} s"))
                self._read()
            answer = self._answer(self._lines.popleft())
            if answer["serial"] == self._serial:
                return answer

    def ask(self, command: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
        """Sends a command and waits for its answer.

        Raises:
            WorkerLostError: as `receive`.
        """
        self.send(command)
        return self.receive(limit_s)

    def suspend(self) -> None:
        """Pauses the process, so that its spinning threads take no core from others."""
        if not self._suspended and self.alive:
            self._process.send_signal(signal.SIGSTOP)
            # Waits until its last thread has stopped (or it has ended, which other methods report).
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            self._suspended = True

    def resume(self) -> None:
        """Undoes `suspend`; sending a command does so, too."""
        if self._suspended:
            self._process.send_signal(signal.SIGCONT)
            self._suspended = False

    def close(self) -> None:
        """Ends the process and whatever it has started; does nothing when it is gone."""
        self._end = self._end or WorkerLostError("crash", "the worker was ended by this process")
        # Kill before waiting: until then, no other process can get its id.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(_KILL_LIMIT_S)
        for stream in (self._input, self._output, self._errors):
            stream.close()

    def _check(self) -> None:
        if self._end is not None:
            raise self._end

    def _ended(self, why: WorkerLostError) -> WorkerLostError:
        """Ends the process for good; `why` is what later calls raise as well."""
        self._end = why
        self.close()
        return why

    def _write(self) -> None:
        """Sends as much of the pending commands as the program's pipe holds."""
        try:
            while self._outgoing:
                self._outgoing = self._outgoing[os.write(self._input.fileno(), self._outgoing[:_CHUNK_BYTES]) :]
        except BlockingIOError:
            return
        except OSError:
            raise self._lost() from None

    def _read(self) -> None:
        """Reads what the program has written; call it only when there is output, or the program has ended."""
        self._check()
        chunk = os.read(self._output.fileno(), _CHUNK_BYTES)
        if not chunk:
            raise self._lost()
        if not self._greeted:
            before, greeting, chunk = (bytes(self._incoming) + chunk).partition(f"{GREETING}\n".encode())
            self._greeted = bool(greeting)
            if not self._greeted:
                self._incoming[:] = before
                if len(before) > _MOST_BEFORE_GREETING:
                    raise self._nonsense(before, "before it greeted")
                return
            self._incoming.clear()
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._incoming += end
            self._lines.append(bytes(self._incoming))
            self._incoming.clear()
        self._incoming += rest

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or "serial" not in answer:
            raise self._nonsense(line, "in place of an answer")
        return answer

    def _nonsense(self, content: bytes, when: str) -> WorkerLostError:
        shown = content[:_SHOWN].decode(errors="replace")
        return self._ended(WorkerLostError("crash", f"the worker wrote {shown!r} {when}"))

    def _lost(self) -> WorkerLostError:
        """Why the process ended: the signal, or its exit code and the last line of what it wrote."""
        try:
            code = self._process.wait(_EXIT_LIMIT_S)
        except subprocess.TimeoutExpired:  # it still runs, but nothing can reach it
            return self._ended(WorkerLostError("crash", "the worker closed its pipe"))
        last = self._last_line()
        if code < 0:
            name = signal.Signals(-code).name
            error = WorkerLostError("crash", f"the worker was ended by {name}", ended=(name, None), last=last)
        else:
            message = f"the worker ended with code {code}" + (f": {last}" if last else "")
            error = WorkerLostError("crash", message, ended=("", code), last=last)
        return self._ended(error)

    def _last_line(self) -> str:
        """The last line on standard error; if that is empty and the program never greeted, that on standard output."""
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - _ERROR_BYTES))
        written = self._errors.read() or (b"" if self._greeted else bytes(self._incoming))
        lines = [line.strip() for line in written.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else ""


def first_ready(channels: Sequence[Channel], limit_s: float) -> Channel | None:
    """A channel whose program has written something or has ended; None if none has within `limit_s` seconds.

    Meanwhile, commands that were too long for their pipes are sent on.
    """
    deadline = time.monotonic() + limit_s
    while True:
        for channel in channels:
            # It has ended, or a complete line is left from the last read.
            if channel._end is not None or channel._lines:
                return channel
        outputs = {channel._output: channel for channel in channels}
        inputs = {channel._input: channel for channel in channels if channel._outgoing}
        ready = select.select(list(outputs), list(inputs), [], max(0.0, deadline - time.monotonic()))
        if ready[0]:
            return outputs[ready[0][0]]
        if not ready[1]:
            return None
        for stream in ready[1]:
            try:
                inputs[stream]._write()
            except WorkerLostError:
                return inputs[stream]


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("the program was started without pipes")
    return pipe
