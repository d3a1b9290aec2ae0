"""Append-only files of one JSON value per line: writers never mix their lines, and kill -9 tears at most the last."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK_BYTES = 1 << 16


def append_line(path: Path, text: str) -> None:
    """Adds one line to the end of `path` and waits until it is on disk.

    A torn line that a killed writer left at the end is removed first. The file and its folder are created when missing.

    Args:
        path: the file.
        text: one JSON value, without line breaks.

    Raises:
        ValueError: when `text` has a line break.
        OSError: when the file cannot be written.
    """
    if "\n" in text:
        raise ValueError("a journal's line must not contain a line break")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path) as descriptor:
        separator = _mend_tail(descriptor)
        _write_all(descriptor, separator + text.encode() + b"\n")
        os.fsync(descriptor)


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number (from 1) and content of each line that is not blank; a torn last line is left out.

    Raises:
        OSError: when the file cannot be read.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n") and not _is_json(line):
                return
            if line.strip():
                yield number, line.rstrip(b"\r\n")


def rewrite(path: Path, change: Callable[[Path], list[str]]) -> None:
    """Replaces the file's lines with those that `change` returns, all or nothing, while writers wait.

    Args:
        path: the file; created when missing.
        change: reads the file and returns its new lines; whatever it raises leaves the file as it was.

    Raises:
        OSError: when the file cannot be written.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    existed = path.exists()
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _locked(path):
        try:
            lines = change(path)
            with scratch.open("w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            if not existed:
                path.unlink(missing_ok=True)
            raise


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """A descriptor that appends to `path`, under a lock that only this process holds."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Between open and lock, another process may have replaced the file.
            if _is_still(path, descriptor):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _mend_tail(descriptor: int) -> bytes:
    """Cuts off a torn last line; returns the line break that a complete one lacks."""
    size = os.fstat(descriptor).st_size
    start, tail = size, b""
    while start > 0 and b"\n" not in tail:
        length = min(_CHUNK_BYTES, start)
        start -= length
        tail = os.pread(descriptor, length, start) + tail
    last = tail.rpartition(b"\n")[2]
    if not last:
        return b""
    if _is_json(last):
        return b"\n"
    os.ftruncate(descriptor, size - len(last))
    return b""


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
