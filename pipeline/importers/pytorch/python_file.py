"""Runs a user's Python file, which may do anything that Python code can, and calls the factory in it."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tvmopt.pipeline.errors import InputFileError, UnsupportedModelError
from tvmopt.pipeline.support.messages import one_line
from tvmopt.pipeline.types import ModelSource


def call_factory(source: ModelSource) -> Any:
    """Calls the factory that `source` names and returns its result.

    Raises:
        InputFileError, UnsupportedModelError: as `opened_factory`.
        UnsupportedModelError: the factory raises; names exception, file and line.
    """
    with opened_factory(source) as factory:
        try:
            return factory()
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            raise UnsupportedModelError(f"{source.factory}() raised {describe(error, source.path)}") from error


@contextmanager
def opened_factory(source: ModelSource) -> Iterator[Callable[[], Any]]:
    """Runs the file that `source` names; its factory may be called, also several times, until the context ends.

    Raises:
        InputFileError: the file raises when it is run, or lacks the factory.
        UnsupportedModelError: the factory is not callable, or needs arguments.
    """
    name = str(source.factory)
    with _beside(source.path):
        module = _run(source.path)
        factory = getattr(module, name, None)
        if factory is None:
            raise InputFileError(f"running the file defined no {name!r}")
        if not callable(factory):
            raise UnsupportedModelError(
                f"{name!r} is a {type(factory).__name__}: a function without arguments was expected"
            )
        _check_signature(name, factory)
        yield factory


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


def _run(path: Path) -> Any:
    """Runs the file at `path` as a module that the rest of the program cannot import by accident."""
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


def _check_signature(name: str, factory: Callable[..., Any]) -> None:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # some callables have no signature: the call shows whether it works
        return
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in parameters if p.default is inspect.Parameter.empty and p.kind not in variable]
    if needed:
        raise UnsupportedModelError(
            f"{name}() is called without arguments but needs {', '.join(needed)}: give defaults"
        )


@contextmanager
def _beside(path: Path) -> Iterator[None]:
    """Lets the file import others from its folder, which comes after everything that is installed.

    The working directory comes last. ``python -m tvmopt`` and an interactive Python put it first, where models in other
    folders would import a ``layers.py`` from it instead of their own.
    """
    folder = str(path.resolve().parent)
    behind = sys.path[:1] if sys.path and Path(sys.path[0]).resolve() == Path.cwd() else []
    del sys.path[: len(behind)]
    sys.path += [folder, *behind]
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # reading a model writes nothing beside it
    try:
        yield
    finally:
        sys.dont_write_bytecode = bytecode
        for entry in (folder, *behind):  # the last of each: an entry that was there before stays
            del sys.path[len(sys.path) - 1 - sys.path[::-1].index(entry)]
        sys.path[:0] = behind
