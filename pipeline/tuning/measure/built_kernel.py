"""A built candidate: everything that the builder sends to the runner, as bytes and JSON."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tvmopt.schedules.space import Config
from tvmopt.schedules.workload import Workload


@dataclass(frozen=True, slots=True)
class Argument:
    """A tensor that a kernel is called with.

    Attributes:
        shape: its shape in memory: packed, blocked, with its halo.
        dtype: as numpy names it.
    """

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class BuiltKernel:
    """A kernel, ready to be loaded and run.

    Inputs are not sent with every candidate: they are `random_inputs` of the workload, packed under the config, so they
    are either made where the kernel runs or sent there once.

    Attributes:
        workload: what it computes.
        config: what it was built with.
        library: an ELF shared library for the target.
        name: the function's name in the library.
        arguments: the inputs in the workload's order, then the output.
        parallel_tasks: iterations of its parallel loops, which threads may take from each other; 0 when they may not.
    """

    workload: Workload
    config: Config
    library: bytes
    name: str
    arguments: tuple[Argument, ...]
    parallel_tasks: int

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "workload": self.workload.to_json(),
            "config": dict(self.config),
            "library": base64.b64encode(self.library).decode(),
            "name": self.name,
            "arguments": [asdict(argument) for argument in self.arguments],
            "parallel_tasks": self.parallel_tasks,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> BuiltKernel:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: when `data` is not what `to_json` writes.
        """
        return BuiltKernel(
            workload=Workload.from_json(data["workload"]),
            config=dict(data["config"]),
            library=base64.b64decode(data["library"], validate=True),
            name=data["name"],
            arguments=tuple(Argument(tuple(each["shape"]), each["dtype"]) for each in data["arguments"]),
            parallel_tasks=int(data["parallel_tasks"]),
        )
