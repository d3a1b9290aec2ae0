"""A machine that runs our programs: this one, or a board at the other end of a cable."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tvmopt.pipeline.devices.channel import Channel
from tvmopt.pipeline.devices.facts import Facts
from tvmopt.pipeline.devices.program import Program


class Device(Protocol):
    """A machine.

    Attributes:
        name: its name; unique among `pipeline.devices.registry.DEVICES`.
    """

    name: str

    def facts(self) -> Facts:
        """The facts about the machine; it is asked only once."""
        ...

    def start(self, program: Program) -> Channel:
        """Starts `program` there without waiting for it: if it fails to start, waiting for its answers fails."""
        ...

    def send(self, file: Path) -> str:
        """Copies the whole `file` there; returns its path there, for programs' arguments and commands."""
        ...
