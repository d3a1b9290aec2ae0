"""The cache on disk: entries named by what they were made from, checked when they are read, bounded in size.

It is in ``$TVMOPT_CACHE``, else in ``$XDG_CACHE_HOME/tvmopt``, else in ``~/.cache/tvmopt``; ``TVMOPT_CACHE=off`` turns
it off. Several processes may use it at once: an entry appears whole or not at all, and two that write the same entry
write the same bytes. A folder that cannot be written, or a full disk, only means that nothing is kept.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import importlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tvmopt.pipeline.errors import UsageError

VARIABLE = "TVMOPT_CACHE"
OFF = "off"
LIMIT_BYTES = 1 << 30
"""The least recently used entries are removed when all together take more."""

CONVERSIONS_LIMIT_BYTES = 4 << 30
"""The same for models that were converted for other runtimes."""

_PACKAGES = ("apache-tvm", "apache-tvm-ffi", "onnx", "onnxruntime", "numpy")
_SOURCES = {
    "tvmopt.schedules": (".",),
    "tvmopt.pipeline": ("compiler", "graph", "importers", "records", "support", "tasks"),
}
"""Packages, and their folders whose code decides what is made."""

_KEPT = 0.8
"""Share of the limit that stays when entries are removed."""
_STALE_S = 3600.0
"""Age from which an unfinished file belongs to a process that was killed."""
_HASH_BYTES = 32
_COUNTS, _LOCK, _UNFINISHED = "counts.json", "lock", ".new-"


@dataclass(frozen=True, slots=True)
class CacheFacts:
    """What a cache holds.

    Attributes:
        entries, nbytes: number and total size of the entries of each kind.
        hits, misses: how often an entry was found, or had to be made, since the cache was last cleared.
    """

    entries: dict[str, int]
    nbytes: dict[str, int]
    hits: int
    misses: int


class Cache:
    """A folder of entries; without a folder it keeps nothing."""

    def __init__(self, folder: Path | None, limit_bytes: int = LIMIT_BYTES) -> None:
        """Opens the cache; nothing is read or written yet."""
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._hits = self._misses = 0
        self._written = False

    def get(self, kind: str, key: str) -> bytes | None:
        """The entry of `kind` under `key`; None if there is none, or if it was damaged, which removes it."""
        content = self._read(self._path(kind, key)) if self.folder is not None else None
        self._hits += content is not None
        self._misses += content is None
        return content

    def put(self, kind: str, key: str, content: bytes) -> None:
        """Keeps `content` as the entry of `kind` under `key`, if possible."""
        if self.folder is None:
            return
        path = self._path(kind, key)
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=_UNFINISHED)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(hashlib.sha256(content).digest())
                    file.write(content)
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            self._written = True

    def close(self) -> None:
        """Adds up the hits and misses, and removes the least recently used entries if the cache has become too large.

        Another process that does so at the same time does it for both.
        """
        if self.folder is None or not (self._hits or self._misses or self._written):
            return
        with contextlib.suppress(OSError), self._locked():
            counts = self._counts()
            text = json.dumps({"hits": counts[0] + self._hits, "misses": counts[1] + self._misses})
            (self.folder / _COUNTS).write_text(text, encoding="utf-8")
            self._hits = self._misses = 0
            if self._written:
                self._written = False
                self._trim()

    def facts(self) -> CacheFacts:
        """What the cache holds."""
        entries: dict[str, int] = {}
        nbytes: dict[str, int] = {}
        for path, status in self._files():
            kind = path.parent.parent.name
            entries[kind] = entries.get(kind, 0) + 1
            nbytes[kind] = nbytes.get(kind, 0) + status.st_size
        hits, misses = (0, 0) if self.folder is None else self._counts()
        return CacheFacts(entries, nbytes, hits, misses)

    def clear(self) -> int:
        """Removes all entries and the counts; returns how many entries there were. Other files are left alone."""
        removed = 0
        for path, _ in self._files():
            with contextlib.suppress(OSError):
                path.unlink()
                removed += 1
        if self.folder is not None:
            with contextlib.suppress(OSError):
                (self.folder / _COUNTS).unlink(missing_ok=True)
        return removed

    def _path(self, kind: str, key: str) -> Path:
        assert self.folder is not None
        return self.folder / kind / key[:2] / key

    def _read(self, path: Path) -> bytes | None:
        try:
            with path.open("rb") as file:
                stated, content = file.read(_HASH_BYTES), file.read()
            if hashlib.sha256(content).digest() == stated:
                os.utime(path)  # the time of last use
                return content
            path.unlink()
        except OSError:
            return None
        return None

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Every entry with its status; unfinished ones of killed processes are removed meanwhile."""
        if self.folder is None or not self.folder.is_dir():
            return
        for path in sorted(self.folder.glob("*/??/*")):
            with contextlib.suppress(OSError):
                status = path.stat()
                if not stat.S_ISREG(status.st_mode):
                    continue
                if not path.name.startswith(_UNFINISHED):
                    yield path, status
                elif time.time() - status.st_mtime > _STALE_S:
                    path.unlink()

    def _trim(self) -> None:
        files = sorted(self._files(), key=lambda entry: entry[1].st_mtime_ns)
        total = sum(status.st_size for _, status in files)
        if total <= self.limit_bytes:
            return
        for path, status in files:
            if total <= self.limit_bytes * _KEPT:
                return
            path.unlink(missing_ok=True)
            total -= status.st_size

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Raises an OSError when another process holds the lock."""
        assert self.folder is not None
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / _LOCK).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    def _counts(self) -> tuple[int, int]:
        assert self.folder is not None
        try:
            counts = json.loads((self.folder / _COUNTS).read_text(encoding="utf-8"))
            return int(counts["hits"]), int(counts["misses"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0


def open_cache() -> Cache:
    """The user's cache.

    Raises:
        UsageError: when `VARIABLE` is neither ``off`` nor an absolute path.
    """
    return Cache(cache_folder())


def open_conversions() -> Cache:
    """The user's cache of models that were converted for other runtimes.

    They hold their weights and are large: in the same cache they would drive kernels out.

    Raises:
        UsageError: as `open_cache`.
    """
    folder = cache_folder()
    return Cache(folder and folder / "conversions", CONVERSIONS_LIMIT_BYTES)


def cache_folder() -> Path | None:
    """The folder of the user's cache; None where it is off, or there is no home folder.

    Raises:
        UsageError: when `VARIABLE` is neither ``off`` nor an absolute path.
    """
    wanted = os.environ.get(VARIABLE, "")
    if not wanted:
        return default_cache_folder()
    if wanted == OFF:
        return None
    if not Path(wanted).is_absolute():
        raise UsageError(f"{VARIABLE} must be an absolute path or {OFF!r}, got {wanted!r}")
    return Path(wanted)


def default_cache_folder() -> Path | None:
    """The folder of the cache where `VARIABLE` does not say; None where there is no home folder."""
    # The rule of the XDG base directory specification: a relative path is ignored.
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        try:
            base = Path.home() / ".cache"
        except RuntimeError:  # no home folder
            return None
    return base / "tvmopt"


def digest(*parts: object) -> str:
    """A key made from JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@functools.cache
def environment() -> tuple[str, ...]:
    """Equal in two processes only if they make the same from the same: part of every key of the cache."""
    code = hashlib.sha256()
    for package, folders in _SOURCES.items():
        home = Path(importlib.import_module(package).__path__[0])
        for path in sorted(path for folder in folders for path in (home / folder).rglob("*")):
            if path.suffix in (".py", ".cc", ".h"):
                code.update(str(path.relative_to(home)).encode())
                code.update(path.read_bytes())
    return (*(version(name) for name in _PACKAGES), code.hexdigest())
