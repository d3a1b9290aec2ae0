"""What everything that we compute depends on besides its inputs: versions of packages, and our own code."""

from __future__ import annotations

import functools
import hashlib
import importlib
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("apache-tvm", "apache-tvm-ffi", "onnx", "onnxruntime", "numpy")
_SOURCES = {
    "tvmopt.schedules": (".",),
    "tvmopt.pipeline": ("compiler", "graph", "importers", "records", "support", "tasks"),
}
"""Packages, and their folders whose code decides what is made."""


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
