"""A machine that runs programs of ours: this one, or a board at the other end of a cable."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tvmopt.pipeline.devices.channel import Channel
from tvmopt.pipeline.devices.facts import Facts
from tvmopt.pipeline.devices.program import Program


class Device(Protocol):
    """A machine.

    Attributes:
        name: what it is called; unique among `pipeline.devices.registry.DEVICES`.
    """

    name: str

    def facts(self) -> Facts:
        """What it is; asked of the machine once."""
        ...

    def start(self, program: Program) -> Channel:
        """Starts `program` there, without waiting for it: a program that does not come up shows in its answers."""
        ...

    def send(self, file: Path) -> str:
        """Brings `file` there, whole; where programs find it, to be named in their arguments and commands."""
        ...
