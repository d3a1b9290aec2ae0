"""The process's own streams: standard output of any encoding, closed or full, and a quiet standard error."""

from __future__ import annotations

import errno
import os
import select
import sys
from typing import TextIO

from tvmopt.pipeline.errors import TvmoptError
from tvmopt.pipeline.support.files import FULL

_OUTPUT, _ERROR = 1, 2


def take_over() -> None:
    """Prepares the streams of a process that runs one command.

    Characters that an encoding lacks are written as question marks. Standard error stays with Python: libraries in C++
    write warnings into it that say nothing to users (their errors arrive as exceptions).

    Raises:
        TvmoptError: standard output is closed; files that are opened later would take its place.
    """
    if sys.stderr is None:
        sys.stderr = _open(os.open(os.devnull, os.O_WRONLY))
    elif sys.stderr.fileno() == _ERROR:
        sys.stderr = _open(os.dup(_ERROR), sys.stderr.encoding)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _ERROR)
        os.close(nowhere)
    if sys.stdout is None:
        raise TvmoptError("standard output is closed: redirect it to /dev/null to discard what the command prints")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # both are text files here


def _open(descriptor: int, encoding: str = "utf-8") -> TextIO:
    return open(descriptor, "w", encoding=encoding, buffering=1, closefd=False)  # as long as the process


def discard_output() -> None:
    """Drops what is not yet written to standard output, and all that follows: Python would fail over it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def output_is_closed() -> bool:
    """Whether the reader of our output has closed it (``tvmopt … | head``)."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return bool(poll.poll(0))


def why_full(error: OSError) -> str:
    """One line about a disk or stream that takes no more; empty where `error` says something else."""
    if error.errno not in (*FULL, errno.EBADF):
        return ""
    where = error.filename or "the output or a temporary file"
    return f"cannot write {where}: {error.strerror}"
