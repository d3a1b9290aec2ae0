"""The runtime's threads for kernels that TVM runs: kernels are tuned on the threads that they will run on.

TVM's own threads wait with ``sched_yield`` and move between cores, which makes some kernels take twice as long in every
other measurement.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tvmopt.pipeline.compiler.native.link import link_pool
from tvmopt.pipeline.compiler.native.linker import linker_of
from tvmopt.pipeline.errors import BuildError, RuntimeMissingError
from tvmopt.schedules.target import Target


def write_pool(target: Target, path: Path) -> bool:
    """Writes the library to `path` if possible, and returns whether it did; without it kernels run on TVM's threads."""
    try:
        path.write_bytes(link_pool(linker_of(target)))
    except (BuildError, RuntimeMissingError):
        return False
    return True


class Pool:
    """The threads that the kernels of this process's calling thread run on."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    @contextmanager
    def sharing(self, tasks: int) -> Iterator[None]:
        """A context for kernels whose parallel loops have `tasks` tasks, which threads may take from each other.

        Args:
            tasks: the number that `schedules.llvm.parts.emit.parallel_tasks` gives.
        """
        before = self._library.tvmopt_expect_tasks(ctypes.c_int32(tasks))
        try:
            yield
        finally:
            self._library.tvmopt_expect_tasks(ctypes.c_int32(before))


def use_pool(path: Path, threads: int) -> Pool:
    """Divides the kernels of this process's calling thread among `threads`.

    Call it before TVM is loaded, which then finds the library's parallel loop in place of its own.

    Raises:
        OSError: when the library cannot be loaded.
        RuntimeError: when the threads cannot be started.
    """
    library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    if library.tvmopt_use_threads(ctypes.c_int32(threads)) != 0:
        raise RuntimeError(f"cannot start {threads} threads")
    return Pool(library)
