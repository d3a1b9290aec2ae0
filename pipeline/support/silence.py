"""Keeps libraries from writing into a command's output."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

_STANDARD = (1, 2)


@contextmanager
def silent() -> Iterator[None]:
    """Discards what is written meanwhile to standard output and error, including from C++."""
    _flush()
    kept = [os.dup(stream) for stream in _STANDARD]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in _STANDARD:
            os.dup2(nowhere, stream)
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # they may be other files
            yield
    finally:
        _flush()
        for stream, copy in zip(_STANDARD, kept, strict=True):
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
