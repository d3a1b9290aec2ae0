"""The facts about a machine that targets, records and measurements depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tvmopt.schedules.host import Cache
from tvmopt.schedules.target import ISAS, Target


@dataclass(frozen=True, slots=True)
class Facts:
    """A machine.

    Attributes:
        cpu: the processor's name; records are compared only where it is the same.
        architecture: as ``uname -m`` reports it (``x86_64``, ``aarch64``, ``armv7l``).
        isa: the widest vector instruction set that templates know, a key of `schedules.target.ISAS`.
        features: the processor's flags as the kernel spells them, sorted.
        cores: physical cores.
        threads: logical cores.
        usable_cores: numbers of the logical cores that programs may run on, one of each physical core first.
        caches: data caches of one core, the first level first; empty where the system does not report them.
        memory_bytes: main memory.
        frequency_hz: the highest clock frequency; None where it is not known.
        governor: the kernel's policy for the clock frequency; None where it is not known.
        os: the operating system's name and version.
        kernel: its kernel's name and release.
    """

    cpu: str
    architecture: str
    isa: str
    features: tuple[str, ...]
    cores: int
    threads: int
    usable_cores: tuple[int, ...]
    caches: tuple[Cache, ...]
    memory_bytes: int
    frequency_hz: int | None
    governor: str | None
    os: str
    kernel: str

    def __post_init__(self) -> None:
        if not self.cpu or not self.architecture or self.isa not in ISAS:
            raise ValueError(f"a machine has a processor, an architecture and one of {', '.join(ISAS)}; got {self}")
        if min(self.cores, self.threads, len(self.usable_cores), self.memory_bytes) < 1:
            raise ValueError(f"cores, threads, usable cores and memory must be at least 1, got {self}")

    def can_run(self, target: Target) -> bool:
        """Whether the machine's processor runs the target's code."""
        return target.runs_on(self.architecture, self.isa)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        lists = {name: list(getattr(self, name)) for name in ("features", "usable_cores")}
        return {**asdict(self), **lists, "caches": [asdict(cache) for cache in self.caches]}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Facts:
        """The inverse of `to_json`.

        Raises:
            TypeError, KeyError, ValueError: when `data` is not what `to_json` writes.
        """
        tuples = {name: tuple(data[name]) for name in ("features", "usable_cores")}
        return Facts(**{**data, **tuples, "caches": tuple(Cache(**cache) for cache in data["caches"])})
