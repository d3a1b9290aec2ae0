"""The object files of our runtime, compiled once for each compiler and kept in the cache."""

from __future__ import annotations

import shutil
from pathlib import Path

from tvmopt.pipeline.compiler.native.link import OPTIONS, SOURCES, compile_source
from tvmopt.pipeline.support.cache import Cache, digest, environment

NATIVE = "native"
"""Their kind of entries in the cache."""


def runtime_objects(linker: str, cache: Cache) -> tuple[bytes, ...]:
    """The object file of each of `native.link.SOURCES`.

    Args:
        linker: the C++ compiler for the target.
        cache: where they are kept.

    Raises:
        BuildError: when the compiler fails.
    """
    return tuple(_object(source, linker, cache) for source in SOURCES)


def _object(source: str, linker: str, cache: Cache) -> bytes:
    key = digest(environment(), source, OPTIONS, *_identity(linker))
    content = cache.get(NATIVE, key)
    if content is None:
        content = compile_source(source, linker)
        cache.put(NATIVE, key, content)
    return content


def _identity(linker: str) -> tuple[str, int, int]:
    """What changes when another compiler is installed under the same name."""
    path = Path(shutil.which(linker) or linker).resolve()
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns
