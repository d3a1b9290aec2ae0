"""What decides an entrant's judgements, besides the samples' numbers: the key under which they are kept."""

from __future__ import annotations

import functools
import hashlib
import importlib
import platform
from collections.abc import Sequence
from pathlib import Path

from tvmopt.benchmarks.accuracy.subject import Chosen, Subject, data_digest
from tvmopt.benchmarks.machine.environment import has_int8_dot_product, package_versions
from tvmopt.benchmarks.runtimes.base import Runtime
from tvmopt.pipeline.devices.environments.places import identity
from tvmopt.pipeline.devices.environments.registry import find_environment
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.support.cache import digest, environment

_VERSION = 2
"""Of the judgements' form; another one makes kept ones void."""

_SOURCES = (
    "tvmopt.pipeline.data",
    "tvmopt.pipeline.quantize",
    "tvmopt.benchmarks.quantized",
    "tvmopt.benchmarks.runtimes",
)
"""Packages whose code makes inputs, quantised networks, outputs and judgements, of every runtime."""


def judgements_key(runtime: Runtime, subject: Subject, chosen: Chosen, threads: int, logs: Sequence[Path]) -> str:
    """The key of a runtime's judgements on a set.

    Args:
        runtime: the runtime.
        subject: the model.
        chosen: the set.
        threads: on how many threads it runs.
        logs: folders of tuning records.
    """
    ours = [environment(), [RecordStore(folder).digest() for folder in logs]] if "tvmopt" in runtime.packages else []
    borrowed = identity(find_environment(runtime.environment)) if runtime.environment else ()
    return digest(
        _VERSION,
        runtime.name,
        package_versions((*runtime.packages, "tvmopt")),
        [ours, borrowed, _code()],
        [platform.machine(), has_int8_dot_product()],
        threads,
        data_digest(subject, chosen),
    )


@functools.cache
def _code() -> str:
    """A hash of the code in `_SOURCES`."""
    hashed = hashlib.sha256()
    for package in _SOURCES:
        home = Path(importlib.import_module(package).__path__[0])
        for path in sorted(home.rglob("*.py")):
            hashed.update(f"{package} {path.relative_to(home)}".encode())
            hashed.update(path.read_bytes())
    return hashed.hexdigest()
