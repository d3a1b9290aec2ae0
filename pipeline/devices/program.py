"""What a device can start: a module of this project, run by Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Program:
    """A module that answers over its standard input and output, with `pipeline.devices.serve`.

    Attributes:
        module: what ``python -m`` runs.
        arguments: of its command line; files in them must have been sent to the device.
        threads: the number of threads that TVM divides kernels among.
        variables: more environment variables; they override those that follow from `threads`.
    """

    module: str
    arguments: tuple[str, ...] = ()
    threads: int = 1
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that the program needs, besides those of the device."""
        return {"TVM_NUM_THREADS": str(self.threads), "OMP_NUM_THREADS": "1", **self.variables}
