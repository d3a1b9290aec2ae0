"""Finds the compiler that links for a target."""

from __future__ import annotations

import platform
import shutil

from tvmopt.pipeline.errors import RuntimeMissingError
from tvmopt.schedules.target import Target

CROSS_COMPILERS = {
    "aarch64": ("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu"),
    "armv7l": ("arm-linux-gnueabihf-g++", "g++-arm-linux-gnueabihf"),
    "x86_64": ("x86_64-linux-gnu-g++", "g++-x86-64-linux-gnu"),
}
"""The linker for each foreign architecture, and the Debian package that has it."""


def linker_of(target: Target) -> str:
    """The C++ compiler that links for `target`.

    Raises:
        RuntimeMissingError: when it is not installed; names the package.
    """
    names: tuple[str, ...] = ("g++", "clang++", "c++")
    package = "g++"
    if target.arch != platform.machine() and target.arch in CROSS_COMPILERS:
        name, package = CROSS_COMPILERS[target.arch]
        names = (name,)
    for name in names:
        if shutil.which(name):
            return name
    raise RuntimeMissingError(
        f"linking for {target.name} needs {' or '.join(names)}, which is not installed: apt-get install {package}"
    )
