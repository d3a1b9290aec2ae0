"""A function in a user's Python file, named as ``path/file.py:function``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tvmopt.pipeline.data.user_code import beside, describe, run_file
from tvmopt.pipeline.errors import InputFileError, TvmoptError, UsageError


def names_function(text: str) -> bool:
    """Whether `text` looks like ``path/file.py:function``."""
    return ".py:" in text


def load_function(text: str, option: str) -> Callable[..., Any]:
    """The function that `text` names; the file is run. What it raises becomes an error of one line.

    Args:
        text: ``path/file.py:function``.
        option: where it was given, such as ``--metric``.

    Raises:
        UsageError: `text` names no function.
        InputFileError: there is no such file or function, or running the file raises. Calling the function raises this,
            too.
    """
    file, _, name = text.rpartition(":")
    path = Path(file)
    if not file or not name.isidentifier():
        raise UsageError(f"{option} {text}: expected path/file.py:function")
    if not path.is_file():
        raise InputFileError(f"{option} {text}: there is no file {file}")
    try:
        with beside(path):
            module = run_file(path)
    except TvmoptError as error:
        raise InputFileError(f"{option} {text}: {error}") from None
    function = getattr(module, name, None)
    if not callable(function):
        what = "defines no" if function is None else f"has a {type(function).__name__} as"
        raise InputFileError(f"{option} {text}: the file {what} {name!r}; a function was expected")

    def call(*arguments: Any) -> Any:
        try:
            with beside(path):
                return function(*arguments)
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            raise InputFileError(f"{option} {text}: {name}() raised {describe(error, path)}") from error

    return call
