"""Files mapped into memory, and their hash, made on several cores: the hash of the hashes of their pieces."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

PIECE = 1 << 23
"""Bytes of a piece; hashing releases Python's lock."""
_THREADS = 4


def map_files(files: Sequence[Path]) -> list[Bytes]:
    """The content of each of `files`, mapped rather than read: it is the system's only copy, and cannot be written.

    Raises:
        OSError: one of them cannot be read.
    """
    return [_mapped(path) for path in files]


def hash_of(contents: Sequence[Bytes]) -> str:
    """The hash of several files' contents; where one ends and the next begins counts, too."""
    whole = hashlib.sha256()
    for content in contents:
        whole.update(f"{content.size} ".encode())
    pieces = [content[start : start + PIECE] for content in contents for start in range(0, content.size, PIECE)]
    with ThreadPoolExecutor(_THREADS) as pool:
        for digest in pool.map(lambda piece: hashlib.sha256(piece.data).digest(), pieces):
            whole.update(digest)
    return whole.hexdigest()


def _mapped(path: Path) -> Bytes:
    with path.open("rb") as file:
        if not path.stat().st_size:  # the system maps nothing that is empty
            return np.empty(0, np.uint8)
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
