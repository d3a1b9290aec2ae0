"""The parent's side of a worker program, which keeps TVM loaded for one target."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tvmopt.pipeline.devices.channel import WorkerLostError
from tvmopt.pipeline.devices.device import Device
from tvmopt.pipeline.devices.program import Program
from tvmopt.schedules.target import Target


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a worker may take, in seconds.

    Attributes:
        build_s: to build one candidate.
        measure_s: to check and time one candidate.
        start_s: to load TVM, to make a task's inputs and reference, or to measure the peak.
    """

    build_s: float = 20.0
    measure_s: float = 30.0
    start_s: float = 120.0


class WorkerProcess:
    """A worker for one target, started but not waited for.

    Args:
        device: where it runs.
        module: its program.
        target: what it builds for or measures on.
        options: further fields of its command ``target``.

    Attributes:
        channel: the channel to the program.
    """

    def __init__(self, device: Device, module: str, target: Target, options: Mapping[str, Any] | None = None) -> None:
        self.channel = device.start(Program(module, threads=target.threads))
        self._started = False
        with contextlib.suppress(WorkerLostError):  # `start` reports it
            self.channel.send({"command": "target", "target": target.to_json(), **(options or {})})

    def start(self, limit_s: float) -> None:
        """Waits until TVM is loaded.

        Raises:
            WorkerLostError: when it does not come up.
        """
        if not self._started:
            self.channel.receive(limit_s)
            self._started = True
