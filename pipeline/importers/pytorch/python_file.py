"""Runs a user's Python file, which may do anything that Python code can, and calls the factory in it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tvmopt.pipeline.data.user_code import beside, describe, run_file
from tvmopt.pipeline.errors import InputFileError, UnsupportedModelError
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
    with beside(source.path):
        module = run_file(source.path)
        factory = getattr(module, name, None)
        if factory is None:
            raise InputFileError(f"running the file defined no {name!r}")
        if not callable(factory):
            raise UnsupportedModelError(
                f"{name!r} is a {type(factory).__name__}: a function without arguments was expected"
            )
        _check_signature(name, factory)
        yield factory


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
