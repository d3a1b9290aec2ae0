"""Runs a user's Python file, which may do anything that Python code can, and finds functions in it."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.support.messages import one_line


def run_file(path: Path) -> Any:
    """Runs the file at `path` as a module that the rest of the program cannot import by accident.

    Raises:
        InputFileError: the file raises when it is run; names exception, file and line.
    """
    resolved = path.resolve()
    name = f"_tvmopt_model_{hashlib.sha256(str(resolved).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, resolved)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and inspect look the module up by its name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        del sys.modules[name]
        raise InputFileError(f"running the file raised {describe(error, path)}") from error
    return module


def describe(error: BaseException, path: Path) -> str:
    """The kind, the place in the user's file and the message of `error`, in one line."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        lines = [error.lineno]
    else:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [
            frame.lineno for frame in frames if frame.lineno is not None and Path(frame.filename) == path.resolve()
        ]
    place = f" at {path.name}:{lines[-1]}" if lines else ""
    return f"{type(error).__name__}{place}: {one_line(error)}"


@contextmanager
def beside(path: Path) -> Iterator[None]:
    """Lets the file import others from its folder, which comes after everything that is installed.

    The working directory comes last. ``python -m tvmopt`` and an interactive Python put it first, where files in other
    folders would import a ``layers.py`` from it instead of their own.
    """
    folder = str(path.resolve().parent)
    behind = sys.path[:1] if sys.path and Path(sys.path[0]).resolve() == Path.cwd() else []
    del sys.path[: len(behind)]
    sys.path += [folder, *behind]
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # reading a file writes nothing beside it
    try:
        yield
    finally:
        sys.dont_write_bytecode = bytecode
        for entry in (folder, *behind):  # the last of each: an entry that was there before stays
            del sys.path[len(sys.path) - 1 - sys.path[::-1].index(entry)]
        sys.path[:0] = behind
