"""Public names are documented: each argument, field, result and error, in Google-style sections."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tvmopt

# Functions that raise no error a caller could meet.
ERRORLESS = {"extract_tasks"}

FUNCTIONS = [name for name in tvmopt.__all__ if inspect.isfunction(getattr(tvmopt, name))]
CLASSES = [name for name in tvmopt.__all__ if inspect.isclass(getattr(tvmopt, name))]


def section(documented: Any, title: str) -> str:
    """The text below ``title:`` in the docstring of a function or class; empty where there is none."""
    text = inspect.getdoc(documented) or ""
    found = re.search(rf"^{title}:\n((?:    .*\n|\n)+)", text + "\n", re.MULTILINE)
    return found[1] if found else ""


def entries(documented: Any, title: str) -> set[str]:
    """The names that a section describes; commas separate names that share a description."""
    lines = re.findall(r"^    ([\w, ]+): \S", section(documented, title), re.MULTILINE)
    return {name for line in lines for name in line.split(", ")}


def arguments(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self"}


def methods(cls: type) -> Iterator[Callable[..., Any]]:
    """The functions that a user may call on a class or its objects, without properties."""
    for name, member in vars(cls).items():
        function = member.__func__ if isinstance(member, (staticmethod, classmethod)) else member
        if inspect.isfunction(function) and not name.startswith("_"):
            yield function


def gives_something(function: Callable[..., Any]) -> bool:
    return inspect.signature(function).return_annotation not in (None, "None")


def test_public_names_are_functions_and_classes() -> None:
    assert sorted(FUNCTIONS + CLASSES) == sorted(tvmopt.__all__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_document_arguments_results_and_errors(name: str) -> None:
    function = getattr(tvmopt, name)
    assert entries(function, "Args") == arguments(function)
    assert bool(section(function, "Returns")) is gives_something(function)
    assert bool(section(function, "Raises")) is (name not in ERRORLESS)


@pytest.mark.parametrize("name", CLASSES)
def test_classes_document_fields_arguments_and_methods(name: str) -> None:
    cls = getattr(tvmopt, name)
    if dataclasses.is_dataclass(cls):
        assert entries(cls, "Attributes") == {field.name for field in dataclasses.fields(cls)}
    elif not issubclass(cls, Exception):
        assert entries(cls, "Args") | entries(cls.__init__, "Args") == arguments(cls.__init__)
    for method in methods(cls):
        assert inspect.getdoc(method), method
        assert entries(method, "Args") == arguments(method), method
        if arguments(method):
            assert bool(section(method, "Returns")) is gives_something(method), method


@pytest.mark.parametrize("name", CLASSES)
def test_properties_say_what_they_are(name: str) -> None:
    for member in vars(getattr(tvmopt, name)).values():
        if isinstance(member, property):
            assert inspect.getdoc(member)
