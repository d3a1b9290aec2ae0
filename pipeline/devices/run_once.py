"""Programs that are run for one result."""

from __future__ import annotations

from typing import Any

from tvmopt.pipeline.devices.channel import WorkerLostError
from tvmopt.pipeline.devices.device import Device
from tvmopt.pipeline.devices.program import Program
from tvmopt.pipeline.errors import BuildError


def run_once(device: Device, program: Program, limit_s: float, what: str) -> Any:
    """Runs `program` and returns its result (`pipeline.devices.serve.Server.give`).

    Args:
        device: where it runs.
        program: the program.
        limit_s: how long it may take, in seconds.
        what: what it does, for the error.

    Raises:
        BuildError: when it fails or takes longer.
    """
    with device.start(program) as channel:
        try:
            return channel.receive(limit_s)["result"]
        except WorkerLostError as error:
            raise BuildError(f"{what} failed: {error}") from None
