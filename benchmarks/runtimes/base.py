"""What every runner is: a library that is opened, a model that is loaded, and one call to be timed.

A runner's class is called ``Run<Source>``, its ahead-of-time step ``prepare``. Libraries are imported in
`Runner.open_library`, never at the top of a file, so that all runtimes can be listed where none is installed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from tvmopt.benchmarks.machine.environment import package_versions
from tvmopt.pipeline.importers.registry import find_importer
from tvmopt.pipeline.support.npz import load_arrays


@dataclass(frozen=True, slots=True)
class Job:
    """What a runner is to run; made of plain values, so that it travels to a worker process as JSON.

    Attributes:
        onnx: the model's file.
        inputs: an ``.npz`` with one array for each of the model's inputs, in order, under its name.
        outputs: names of the model's outputs, in order.
        batch, threads: batch size of `onnx`, threads to use.
        folder: where `Runner.prepare` leaves what it makes; a folder of this job's own.
        source: spec, kind, path and factory of the user's model, for runtimes that load it themselves.
        calibration: an ``.npz`` with calibration batches stacked for each input, or empty.
        logs: folders of tuning records, the one to look in first in front.
    """

    onnx: str
    inputs: str
    outputs: tuple[str, ...]
    batch: int
    threads: int
    folder: str
    source: Mapping[str, str] = field(default_factory=dict)
    calibration: str = ""
    logs: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Job:
        """The inverse of `to_json`."""
        return Job(**{**data, "outputs": tuple(data["outputs"]), "logs": tuple(data["logs"])})

    def load_inputs(self) -> dict[str, np.ndarray]:
        """The model's inputs by name, in order."""
        return load_arrays(self.inputs)


class Runner(Protocol):
    """A runtime with one model in it. Methods are called in this order, `run` many times."""

    settings: dict[str, str]
    """How the runtime is set up, in its own words; complete after `load`."""

    def open_library(self) -> None:
        """Imports the runtime's library."""

    def prepare(self, job: Job) -> None:
        """Does what is done once, ahead of time, in a process of its own: quantises or compiles into `job.folder`."""

    def load(self, job: Job) -> None:
        """Gets the model ready to run, with its inputs in the runtime's own tensors."""

    def run(self) -> None:
        """Runs the model once: this is what is timed. Neither inputs nor outputs are copied in or out."""

    def read_outputs(self) -> list[np.ndarray]:
        """The last run's outputs, in the model's order."""


class NothingToPrepareError(Exception):
    """Raised by `Runner.prepare` with one line, when what it needs is missing; the row is then ``unavailable``."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime as the command line and the reports know it.

    Attributes:
        name: on the command line.
        title: in tables and plots.
        variant: precision and kind.
        about: what it is and how it is run, one or two sentences for the report.
        distributions: Python distributions that it needs; the first is the runtime itself.
        modules: modules that must be found for it to be there.
        install: how to get it.
        runner: makes the runner.
        prepared: whether there is a step ahead of time: not at all, once for a batch size, or for each thread count.
        kinds: the kinds of models that it takes because it loads the user's source itself; None for a runtime that
            runs the ONNX form, and so takes every kind.
        lacks: says in one line what else is missing (a compiler, say), or nothing.
        quantized: whether it computes in INT8 and so needs calibration.
    """

    name: str
    title: str
    variant: str
    about: str
    distributions: tuple[str, ...]
    modules: tuple[str, ...]
    install: str
    runner: Callable[[], Runner]
    prepared: str = "never"
    kinds: tuple[str, ...] | None = None
    lacks: Callable[[], str | None] = lambda: None
    quantized: bool = False

    def versions(self) -> dict[str, str]:
        """Versions of those of its distributions that are installed."""
        return package_versions(self.distributions)

    def refusal(self, kind: str) -> str | None:
        """One line on why it does not apply to models of `kind`, or ``None`` when it takes them."""
        if self.kinds is None or kind in self.kinds:
            return None
        return f"not applicable: the model is {find_importer(kind).title}"

    def missing(self) -> str | None:
        """One line on what is missing and how to get it, or ``None`` when the runtime is there. Imports nothing."""
        absent = [name for name in self.modules if importlib.util.find_spec(name) is None]
        if absent:
            return f"{', '.join(absent)} not installed: {self.install}"
        return self.lacks()
