"""Reads the small text files that stand beside samples."""

from __future__ import annotations

from pathlib import Path

from tvmopt.pipeline.errors import InputFileError


def read_lines(path: Path) -> list[str]:
    """The lines of a text file in UTF-8, without white space at their ends; those that are empty, too.

    Raises:
        InputFileError: it cannot be read, or is not UTF-8.
    """
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        raise InputFileError(
            f"{path}: not a text file in UTF-8: byte {error.start} is {error.object[error.start]:#04x}"
        ) from None
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror or error}") from None
