"""This machine."""

from __future__ import annotations

import functools
import os
import platform
import site
import sys
from pathlib import Path

from tvmopt.pipeline.devices.channel import Channel
from tvmopt.pipeline.devices.facts import Facts
from tvmopt.pipeline.devices.program import Program
from tvmopt.schedules import host
from tvmopt.schedules.target import host_isa

_HOME = Path(__file__).resolve().parents[3]
"""The folder that Python found the installed package in; in a checkout, the folder above it."""


class LocalDevice:
    """The machine that this process runs on."""

    name = "local"

    def facts(self) -> Facts:
        """The facts about this machine."""
        return _facts()

    def start(self, program: Program) -> Channel:
        """Starts `program` with this process's Python, in this process's environment."""
        environment = {**os.environ, **import_path(), **program.environment}
        environment.pop("TVM_USE_RUNTIME_LIB", None)  # it would leave out TVM's compiler
        return Channel([sys.executable, "-P", "-m", program.module, *program.arguments], environment)

    def send(self, file: Path) -> str:
        """The path of `file`, which is here already."""
        return str(file.resolve())


def import_path() -> dict[str, str]:
    """The environment variable that lets another process of this Python find this project; empty if it needs none.

    A program may have put the folder of an installation (``pip install --target``) onto its own path.
    """
    inherited = os.environ.get("PYTHONPATH", "")
    if str(_HOME) not in sys.path or str(_HOME) in (*site.getsitepackages(), *inherited.split(os.pathsep)):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(_HOME), inherited)))}


@functools.cache
def _facts() -> Facts:
    return Facts(
        cpu=host.host_cpu(),
        architecture=platform.machine(),
        isa=host_isa(),
        features=tuple(sorted(host.cpu_flags())),
        cores=host.physical_cores(),
        threads=host.logical_cores(),
        usable_cores=host.usable_cores(),
        caches=host.caches(),
        memory_bytes=host.memory_bytes(),
        frequency_hz=host.most_frequency_hz(),
        governor=host.governor(),
        os=host.os_name(),
        kernel=f"{platform.system()} {platform.release()}",
    )
