"""Modules that are imported on first use: most work with templates (spaces, defaults, packing) needs no TVM."""

from __future__ import annotations

import importlib
from typing import Any


class _Module:
    """Stands for a module until something in it is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        value = getattr(importlib.import_module(self._name), name)
        setattr(self, name, value)  # found without this method from now on
        return value


def lazily(name: str) -> Any:
    """The module `name`, imported when one of its attributes is first used."""
    return _Module(name)
