"""tvmopt as a program in Python calls it, with inputs that are in the program's own arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.benchmarks.runtimes.tvmopt.transfer import RUNTIME as TRANSFER
from tvmopt.benchmarks.runtimes.tvmopt.transfer import RunTvmoptTransfer


class RunTvmoptCalled(RunTvmoptTransfer):
    """Calls `LoadedArtifact.run`, which checks the inputs, copies them and returns new arrays."""

    def load(self, job: Job) -> None:
        """Loads the artifact, and keeps its inputs outside."""
        self._made: Mapping[str, Any] = {}
        super().load(job)

    def set_inputs(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Keeps other inputs outside."""
        self._given = dict(inputs)

    def run(self) -> None:
        """One call."""
        self._made = self.artifact.run(self._given)

    def read_outputs(self) -> list[np.ndarray]:
        """The last call's outputs."""
        return [np.array(self._made[name]) for name in self._outputs]


class RunTvmoptBound(RunTvmoptCalled):
    """Writes the inputs into the arrays of a bound model, and calls it."""

    _call: Any = None

    def load(self, job: Job) -> None:
        """Loads the artifact and binds it."""
        super().load(job)
        self._call = self.artifact.bind(self._given)
        self.set_inputs(self._given)

    def set_inputs(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Pairs other inputs with the bound model's arrays."""
        super().set_inputs(inputs)
        bound = self._call.inputs if self._call else {}
        self._written = [(bound[name], array) for name, array in inputs.items() if name in bound]

    def run(self) -> None:
        """Writes the inputs, and calls."""
        for kept, array in self._written:
            kept[...] = array
        self._made = self._call()


_UNPROFILED = f"its layers are those of {TRANSFER.name}"

CALLED = replace(
    TRANSFER,
    name="tvmopt-called",
    title="tvmopt by transfer, called from Python",
    about="As tvmopt by transfer, but with all that a call from Python does: inputs are checked and copied, outputs "
    "are new arrays.",
    runner=RunTvmoptCalled,
    profiler="",
    unprofiled=_UNPROFILED,
)
BOUND = replace(
    CALLED,
    name="tvmopt-bound",
    title="tvmopt by transfer, bound to arrays",
    about="As tvmopt by transfer, but a call from Python of a bound model: inputs are written into its arrays, outputs "
    "are read there.",
    runner=RunTvmoptBound,
)
