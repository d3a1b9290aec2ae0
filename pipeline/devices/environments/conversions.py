"""Converts models for other runtimes by their own converters, once: what was made, or why not, is kept on disk."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tvmopt.pipeline.devices.environments.run_script import ScriptError
from tvmopt.pipeline.support.cache import open_conversions

_VERSIONS = """
import sys
from importlib.metadata import PackageNotFoundError, version
for name in sys.argv[1:]:
    try:
        print(name, version(name))
    except PackageNotFoundError:
        pass
"""
_TIME_S = 60.0


class ConversionError(Exception):
    """A converter does not take a model; the message says why, in one line."""


def convert_once(kind: str, key: str, path: Path, convert: Callable[[], None]) -> bool:
    """Has a model converted, unless that was done before.

    What a converter says in the end is kept, too, so that it is not asked again; where it crashed, or took more time or
    memory than it may, it is.

    Args:
        kind: the converter's name.
        key: covers all that the converted model depends on.
        path: where the converted model is wanted.
        convert: writes it there; raises ScriptError when that is not possible.

    Returns:
        Whether it was converted before.

    Raises:
        ConversionError: it cannot be converted, now or before.
    """
    refused = f"{kind}-refused"
    cache = open_conversions()
    try:
        kept = cache.get(kind, key)
        if kept is not None:
            path.write_bytes(kept)
            return True
        said = cache.get(refused, key)
        if said is not None:
            raise ConversionError(said.decode())
        try:
            convert()
        except ScriptError as error:
            if error.status is not None and error.status > 0:
                cache.put(refused, key, str(error).encode())
            raise ConversionError(str(error)) from error
        cache.put(kind, key, path.read_bytes())
        return False
    finally:
        cache.close()


def versions_in(python: str, packages: Sequence[str]) -> tuple[str, ...]:
    """Name and version of each of `packages` that another Python has.

    Raises:
        OSError, subprocess.SubprocessError: it is not a Python that runs.
    """
    command = [python, "-I", "-c", _VERSIONS, *packages]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIME_S).stdout
    return tuple(said.splitlines())
