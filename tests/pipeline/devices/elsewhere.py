"""A second device, to prove that nothing depends on the first."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from tvmopt.pipeline.devices.channel import Channel
from tvmopt.pipeline.devices.facts import Facts
from tvmopt.pipeline.devices.program import Program
from tvmopt.pipeline.devices.registry import LOCAL

CPU = "Elsewhere 9000"


class ElsewhereDevice:
    """Like a board behind ``ssh``: a shell that greets its user, an empty environment, a folder for copied files.

    Args:
        folder: where files are copied to.
        repository: where the programs find this project and its tests.
    """

    name = "elsewhere"

    def __init__(self, folder: Path, repository: Path) -> None:
        self._folder, self._repository = folder, repository
        self.sent: list[str] = []
        self.started: list[str] = []

    def facts(self) -> Facts:
        return replace(LOCAL.facts(), cpu=CPU)

    def start(self, program: Program) -> Channel:
        self.started.append(program.module)
        variables = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(self._repository), **program.environment}
        assignments = [f"{name}={value}" for name, value in variables.items()]
        python = [sys.executable, "-P", "-m", program.module, *program.arguments]
        script = f"echo Welcome to Elsewhere; exec {shlex.join(['env', '-i', *assignments, *python])}"
        return Channel(["sh", "-c", script], {})

    def send(self, file: Path) -> str:
        self._folder.mkdir(exist_ok=True)
        place = self._folder / f"{len(self.sent)}-{file.name}"
        shutil.copyfile(file, place)
        self.sent.append(str(place))
        return str(place)
