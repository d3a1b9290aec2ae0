"""Lets this process import the packages of another environment."""

from __future__ import annotations

import subprocess
import sys

from tvmopt.pipeline.devices.environments.places import require_python
from tvmopt.pipeline.devices.environments.registry import Environment
from tvmopt.pipeline.support.messages import one_line

_FACTS = "import sys, sysconfig; print(*sys.version_info[:2], sysconfig.get_path('purelib'))"
_TIME_S = 60.0


def borrow(environment: Environment, title: str, first: bool = False) -> None:
    """Makes the modules of `environment` importable here; does nothing where they are in this environment.

    Args:
        environment: which.
        title: what it is the environment of, for the error.
        first: whether its packages come before those of this environment, so that what both have comes from there, as
            far as this process has not imported it yet.

    Raises:
        RuntimeMissingError: the environment is not there; says how to get it.
        RuntimeError: it has another release of Python than this one, or its Python does not run.
    """
    python = require_python(environment)
    if python == sys.executable:
        return
    try:
        command = [python, "-I", "-c", _FACTS]
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIME_S).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise RuntimeError(f"the Python of {title}'s environment does not run: {one_line(error)}") from error
    major, minor, packages = said.strip().split(" ", 2)
    if (int(major), int(minor)) != sys.version_info[:2]:
        ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise RuntimeError(f"{title}'s environment has Python {major}.{minor}, it must be {ours} as here")
    if packages not in sys.path:
        sys.path.insert(0 if first else len(sys.path), packages)
