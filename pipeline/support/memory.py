"""Memory of this process."""

from __future__ import annotations

import ctypes


def give_back_freed() -> None:
    """Gives freed memory back to the operating system, where the C library can.

    It keeps blocks of some megabytes, such as weights, for later use; the next copy of them rarely fits in there.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
