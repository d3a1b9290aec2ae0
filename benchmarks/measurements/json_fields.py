"""Typed access to fields of untrusted JSON objects; every error is one line that names the field."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")


def number(data: Any, name: str) -> float:
    """A finite number."""
    value = _get(data, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{name} must be a number, got {_show(value)}")
    return float(value)


def positive(data: Any, name: str) -> float:
    """A number above zero."""
    value = number(data, name)
    if value <= 0:
        raise ValueError(f"{name} must be above 0, got {value:g}")
    return value


def non_negative(data: Any, name: str) -> float:
    """A number not below zero."""
    value = number(data, name)
    if value < 0:
        raise ValueError(f"{name} must not be below 0, got {value:g}")
    return value


def or_infinite(data: Any, name: str) -> float:
    """A number not below zero; null stands for an infinite one, which JSON does not have."""
    return math.inf if _get(data, name) is None else non_negative(data, name)


def positive_int(data: Any, name: str) -> int:
    """A whole number of at least one."""
    value = _get(data, name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {_show(value)}")
    return value


def whole(data: Any, name: str) -> int:
    """A whole number, not below zero."""
    value = _get(data, name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be a whole number of at least 0, got {_show(value)}")
    return value


def boolean(data: Any, name: str) -> bool:
    """True or false."""
    value = _get(data, name)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {_show(value)}")
    return value


def text(data: Any, name: str) -> str:
    """A string."""
    value = _get(data, name)
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string, got {_show(value)}")
    return value


def one_of(data: Any, name: str, choices: Iterable[str]) -> str:
    """One of the given strings."""
    value, known = text(data, name), tuple(choices)
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {_show(value)}")
    return value


def pair(data: Any, name: str) -> tuple[float, float]:
    """Two positive numbers in rising order."""
    values = [positive({name: value}, name) for value in list_of(data, name)]
    if len(values) != 2 or values[0] > values[1]:
        raise ValueError(f"{name} must be two numbers in rising order, got {_show(values)}")
    return values[0], values[1]


def list_of(data: Any, name: str) -> list[Any]:
    """A list."""
    value = _get(data, name)
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list, got {_show(value)}")
    return value


def mapping_of(data: Any, name: str) -> Mapping[str, Any]:
    """An object."""
    value = _get(data, name)
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be an object, got {_show(value)}")
    return value


def optional(data: Any, name: str, read: Callable[[Any, str], Value]) -> Value | None:
    """The result of `read`, or ``None`` when the field is null or missing."""
    if isinstance(data, dict) and data.get(name) is None:
        return None
    return read(data, name)


def _get(data: Any, name: str) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"{name}: its parent must be an object, got {_show(data)}")
    if name not in data:
        raise ValueError(f"{name} is missing")
    return data[name]


def _show(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
