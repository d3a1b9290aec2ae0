"""Finds the Python of an environment: one that the user names, this one, or one that `install` made.

Environments are in ``$TVMOPT_ENVIRONMENTS``, else in the folder ``environments`` of ``$TVMOPT_CACHE``, else of
``$XDG_CACHE_HOME/tvmopt`` or ``~/.cache/tvmopt``. They are no cache: neither ``TVMOPT_CACHE=off`` nor
``tvmopt cache clear`` touches them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tvmopt.pipeline.devices.environments.registry import Environment
from tvmopt.pipeline.errors import RuntimeMissingError, UsageError
from tvmopt.pipeline.support.cache import cache_folder, default_cache_folder

VARIABLE = "TVMOPT_ENVIRONMENTS"
_DIGITS = 12


def home() -> Path:
    """The folder of all environments; it need not exist.

    Raises:
        UsageError: `VARIABLE` is not an absolute path, or nothing says where the user's files are.
    """
    wanted = os.environ.get(VARIABLE, "")
    if wanted:
        if not Path(wanted).is_absolute():
            raise UsageError(f"{VARIABLE} must be an absolute path, got {wanted!r}")
        return Path(wanted)
    cache = cache_folder() or default_cache_folder()
    if cache is None:
        raise UsageError(f"there is no home folder to make environments in: set {VARIABLE} to an absolute path")
    return cache / "environments"


def folder_of(environment: Environment) -> Path:
    """Where the environment is when it is installed; its name covers the pins, so that new pins make a new one."""
    pins = hashlib.sha256(environment.requirements.read_bytes())
    pins.update(repr(sys.version_info[:2]).encode())
    return home() / f"{environment.name}-{pins.hexdigest()[:_DIGITS]}"


def is_installed(environment: Environment) -> bool:
    """Whether `install` made the environment, and its Python is still there."""
    return _runs(python_in(folder_of(environment)))


def is_here(environment: Environment) -> bool:
    """Whether this project's own environment has its modules. Imports nothing."""
    return all(importlib.util.find_spec(module) is not None for module in environment.modules)


def python_in(folder: Path) -> Path:
    """The Python of the virtual environment in `folder`."""
    return folder / "bin" / "python"


def is_pinned(environment: Environment) -> bool:
    """Whether scripts run in the environment that `install` made, so that its packages have the pinned versions."""
    return find_python(environment) == str(python_in(folder_of(environment)))


def find_python(environment: Environment) -> str | None:
    """The Python that runs scripts for `environment`; None where there is none.

    The one that the environment's variable names comes first, then this one, then that of the environment that
    `install` made.
    """
    given = os.environ.get(environment.variable)
    if given:
        found = shutil.which(str(Path(given).expanduser()))
        # Scripts run in other folders. Links are kept: the Python of a virtual environment is one.
        return str(Path(found).absolute()) if found else None
    if is_here(environment):
        return sys.executable
    return str(python_in(folder_of(environment))) if is_installed(environment) else None


def missing(environment: Environment) -> str | None:
    """One line on what is missing and how to get it, or None if the environment can be used."""
    if find_python(environment) is not None:
        return None
    given = os.environ.get(environment.variable)
    if given:
        return (
            f"{environment.variable}={given} is not a Python: unset it, or give one that has {_packages(environment)}"
        )
    return f"{_packages(environment)} not installed: {environment.install}"


def require_python(environment: Environment) -> str:
    """As `find_python`.

    Raises:
        RuntimeMissingError: there is none; says how to get it.
    """
    python = find_python(environment)
    if python is None:
        raise RuntimeMissingError(str(missing(environment)))
    return python


def identity(environment: Environment) -> tuple[str, ...]:
    """Equal only where the same packages would be used, as far as can be told without running anything."""
    python = find_python(environment)
    if python != sys.executable:
        return (str(python),)
    return tuple(f"{name} {version(name)}" for name in environment.packages if _has(name))


def _has(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _packages(environment: Environment) -> str:
    return ", ".join(environment.packages)


def _runs(python: Path) -> bool:
    return python.is_file() and os.access(python, os.X_OK)
