"""Programs that are run for one result."""

from __future__ import annotations

import os
from typing import Any

from tvmopt.pipeline.devices.channel import WorkerLostError
from tvmopt.pipeline.devices.device import Device
from tvmopt.pipeline.devices.local import import_path
from tvmopt.pipeline.devices.program import Program
from tvmopt.pipeline.errors import BuildError


def run_once(device: Device, program: Program, limit_s: float, what: str) -> Any:
    """What `program` gives (`pipeline.devices.serve.Server.give`).

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


def environment_of(threads: int) -> dict[str, str]:
    """This process's environment for one that has TVM's compiler, this project, and kernels on `threads` threads."""
    environment = dict(os.environ, TVM_NUM_THREADS=str(threads), OMP_NUM_THREADS="1", **import_path())
    environment.pop("TVM_USE_RUNTIME_LIB", None)
    return environment
