"""Runs a script of ours with the Python of an environment, in a process of its own: files in, files out.

What the script reads comes from strangers, and so does much of the code that reads it. The process therefore has a
time limit and bounded memory, and may crash.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tvmopt.pipeline.devices.environments import bounded
from tvmopt.pipeline.support.messages import cut

_OUTPUT = "output.txt"
_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Limits:
    """What a script may take.

    Attributes:
        time_s: how long it may run, in seconds.
        memory_bytes: how much memory it may allocate.
    """

    time_s: float = 600.0
    memory_bytes: int = 6 << 30


@dataclass(frozen=True, slots=True)
class Call:
    """A script and what it gets.

    Attributes:
        script: its file, which needs nothing of this project.
        arguments: its arguments.
        folder: an empty folder, its working directory; its output is kept there as well.
        variables: environment variables beside this process's.
    """

    script: Path
    arguments: Sequence[str]
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)


class ScriptError(Exception):
    """A script failed; the message says how, in one line.

    Attributes:
        status: its exit code, negative for the number of the signal that ended it; None where its time was up.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def run_script(python: str, call: Call, limits: Limits | None = None) -> None:
    """Runs a script to its end.

    Args:
        python: the Python of its environment.
        call: the script and what it gets.
        limits: what it may take.

    Raises:
        ScriptError: it failed, crashed, or took more time or memory than it may.
    """
    limits = limits or Limits()
    # Nothing of the user's own Python set-up reaches the script, and sets have the same order in every run.
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    variables = {**own, "PYTHONHASHSEED": "0", **call.variables}
    command = [python, "-P", "-s", bounded.__file__, str(limits.memory_bytes), str(call.script), *call.arguments]
    with (call.folder / _OUTPUT).open("w+b") as output:
        process = subprocess.Popen(
            command,
            cwd=call.folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is ours to handle
        )
        try:
            status = process.wait(limits.time_s)
        except subprocess.TimeoutExpired:
            raise ScriptError(f"it took more than {limits.time_s:g} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if status:
            raise ScriptError(_why(status, _end_of(output.fileno()), limits), status)


def _end_of(file: int) -> str:
    size = os.fstat(file).st_size
    return os.pread(file, _READ_BYTES, max(size - _READ_BYTES, 0)).decode(errors="replace")


def _why(status: int, output: str, limits: Limits) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = lines[-1] if lines else "no message"
    if any(sign in last for sign in ("MemoryError", "bad_alloc", "Unable to allocate", "Cannot allocate memory")):
        return f"it needs more than the {limits.memory_bytes / 2**30:.1f} GiB of memory that it may take"
    if status < 0:
        return f"it crashed ({signal.strsignal(-status)}): {cut(last)}"
    return cut(last)
