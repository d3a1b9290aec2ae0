"""Writes files completely or not at all, and finds a folder for files that programs are loaded from."""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tvmopt.pipeline.errors import InputFileError, RuntimeMissingError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What the system says when a disk is full or fails."""


@contextmanager
def replaced(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that replaces `path` when the block succeeds, and is deleted when it fails.

    Raises:
        InputFileError: when the folder does not exist or cannot be written, or its disk is full.
    """
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}")
    try:
        # Not tempfile: its files are readable by their owner alone, these are as the user's umask says.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise InputFileError(f"cannot write {path}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno not in FULL:
            raise
        raise InputFileError(f"cannot write {path}: {error.strerror}") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_full(error: OSError) -> InputFileError:
    """The error for a user whose temporary files take no more, as `error` says."""
    return InputFileError(
        f"cannot write a temporary file in {tempfile.gettempdir()}: {error.strerror}; set TMPDIR to another folder"
    )


def code_folder() -> str:
    """A folder for temporary libraries: the usual one, unless its file system is mounted so that no program runs.

    Raises:
        RuntimeMissingError: none of the usual folders lets programs run.
    """
    usual = tempfile.gettempdir()
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    others = ("/var/tmp", "/dev/shm")  # noqa: S108  # only as folders: what is written there gets names of its own
    for folder in (usual, *others, str(cache)):
        if os.access(folder, os.W_OK | os.X_OK) and not os.statvfs(folder).f_flag & os.ST_NOEXEC:
            return folder
    raise RuntimeMissingError(f"nothing may run from the temporary folder {usual!r}: set TMPDIR to one without noexec")
