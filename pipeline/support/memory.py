"""Memory of this process."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt


def give_back_freed() -> None:
    """Gives freed memory back to the operating system, where the C library can.

    It keeps blocks of some megabytes, such as weights, for later use; the next copy of them rarely fits in there.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def let_go(array: npt.NDArray[Any]) -> None:
    """Lets the system take back the memory of `array` if that is mapped from a file: it is read again when needed.

    Other arrays stay as they are.
    """
    mapping = mapping_of(array)
    # What may be written is memory that no file keeps.
    if mapping is None or array.flags.writeable or not hasattr(mmap, "MADV_DONTNEED"):
        return
    low, high = (place - address_of(mapping) for place in np.lib.array_utils.byte_bounds(array))
    start = -(-low // mmap.PAGESIZE) * mmap.PAGESIZE
    if high - start >= mmap.PAGESIZE:
        mapping.madvise(mmap.MADV_DONTNEED, start, (high - start) // mmap.PAGESIZE * mmap.PAGESIZE)


def mapping_of(array: npt.NDArray[Any]) -> mmap.mmap | None:
    """The mapping of which `array` is a part; None if its memory is none."""
    base: Any = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return base if isinstance(base, mmap.mmap) else None


def address_of(mapping: mmap.mmap) -> int:
    """Where `mapping` begins."""
    return int(np.frombuffer(mapping, np.uint8).ctypes.data)
