"""The interface of runtimes and their runners: open a library, load a model, and run it in one timed call.

A runner's class is called ``Run<Source>``, its ahead-of-time step ``prepare``. Libraries are imported
in `Runner.open_library`, never at the top of a file, so that all runtimes can be listed even if none is installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tvmopt.benchmarks.machine.environment import has_int8_dot_product, package_versions
from tvmopt.benchmarks.measurements.layer_profile import LayerProfile
from tvmopt.pipeline.devices.environments.places import is_pinned, missing
from tvmopt.pipeline.devices.environments.registry import find_environment
from tvmopt.pipeline.importers.registry import find_importer
from tvmopt.pipeline.support.npz import load_arrays


@dataclass(frozen=True, slots=True)
class Job:
    """A runner's job, made of plain values so that it can be sent to a worker process as JSON.

    Attributes:
        onnx: the model's file.
        inputs: an ``.npz`` with one named array for each of the model's inputs, in order.
        outputs: names of the model's outputs, in order.
        batch, threads: batch size of `onnx`, threads to use.
        folder: this job's own folder, where `Runner.prepare` writes its files.
        source: spec, kind, path and factory of the user's model, and values of inputs that are constants (JSON), for
            runtimes that load it themselves.
        calibration: an ``.npz`` with calibration batches stacked for each input, or empty.
        logs: folders of tuning records, in search order.
        parameters: values of the runtime's `Choice`s by name, where they differ from its defaults.
        quantized: whether the model itself computes in integers, so that nothing is left to quantise.
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
    parameters: Mapping[str, str] = field(default_factory=dict)
    quantized: bool = False

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


def refuse_values(job: Job) -> None:
    """For runners that read the user's own files, where inputs that became constants still are inputs.

    Raises:
        ValueError: the user made some inputs constants.
    """
    if json.loads(job.source.get("values", "{}")):
        raise ValueError("it reads the network's own files, in which --input-value has no effect")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A parameter of a runtime: the values that `tvmopt compare --search` tries, all of which keep the precision.

    Attributes:
        name: what reports call it.
        about: what it decides, one line.
        default: its value without a search.
        others: further values.
        counted_from: if above 0, numbers from this one up to the cell's threads are values too: those that double each
            time, and the number of threads.
        variable: the environment variable that the worker starts with, which has the value if it is not the default;
            empty where the runner asks for the value by `of`.
    """

    name: str
    about: str
    default: str
    others: tuple[str, ...] = ()
    counted_from: int = 0
    variable: str = ""

    def of(self, job: Job) -> str:
        """Its value in `job`."""
        return job.parameters.get(self.name, self.default)

    def alternatives(self, threads: int) -> tuple[str, ...]:
        """The values besides the default in a cell of `threads` threads."""
        numbers = []
        number = self.counted_from
        while 0 < number < threads:
            numbers.append(str(number))
            number *= 2
        if 0 < self.counted_from <= threads:
            numbers.append(str(threads))
        return tuple(value for value in (*self.others, *numbers) if value != self.default)


THREADS = Choice(name="threads", about="how many of the cell's threads it runs on", default="all", counted_from=1)
"""The choice that every runtime has: its worker is pinned to fewer cores."""


def cores_of(cores: Sequence[int], parameters: Mapping[str, str]) -> tuple[int, ...]:
    """The cores of a cell on which a runtime with `parameters` runs."""
    return tuple(cores if THREADS.name not in parameters else cores[: int(parameters[THREADS.name])])


WAITING = Choice(
    name="waiting threads",
    about="whether OpenMP's threads spin (active) or sleep (passive) between two parallel loops",
    default="the library's own",
    others=("active", "passive"),
    variable="OMP_WAIT_POLICY",
)
"""For runtimes whose threads are OpenMP's."""


class Runner(Protocol):
    """A runtime with one loaded model. Methods are called in this order, `run` many times."""

    settings: dict[str, str]
    """The runtime's settings, in its own terms; complete after `load`."""

    def open_library(self) -> None:
        """Imports the runtime's library."""

    def prepare(self, job: Job) -> None:
        """Runs the ahead-of-time step, once and in a separate process: quantises or compiles into `job.folder`."""

    def load(self, job: Job) -> None:
        """Makes the model ready to run, with its inputs in the runtime's own tensors."""

    def set_inputs(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Replaces the inputs that `load` set.

        Args:
            inputs: an array for each input by name, in the shapes and dtypes of those of the job.
        """

    def run(self) -> None:
        """Runs the model once; this call is timed. It copies neither inputs nor outputs."""

    def read_outputs(self) -> list[np.ndarray]:
        """The last run's outputs, in the model's order."""


def inferences_of(runner: Runner) -> int:
    """How many inferences one call of `run` makes: one, unless the runner's attribute ``inferences`` says more."""
    return int(getattr(runner, "inferences", 1))


def computes_in_integers(runner: Runner) -> bool:
    """Whether the loaded model itself is quantised, as the runner's attribute ``quantized`` says; none does without."""
    return bool(getattr(runner, "quantized", False))


def saturating_only() -> str | None:
    """For rows of 8-bit weights that saturate: why they do not apply where nothing does, or None."""
    if has_int8_dot_product():
        return "not applicable: this CPU adds products of bytes in 32 bits, so no setting saturates"
    return None


class NothingToPrepareError(Exception):
    """Raised by `Runner.prepare`, with a one-line message, when something is missing: the row is ``unavailable``."""


Profiler = Callable[[Job, float], LayerProfile]
"""Loads the job's model and profiles it for about the given number of seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Everything that the project knows about a runtime, in this one place.

    Attributes:
        name: its name on the command line: lower-case words joined by hyphens.
        title: its name in tables and plots.
        variant: precision and kind.
        about: its description and setup, one or two sentences for the report.
        packages: distributions that it needs, the runtime itself first. Measurement files record their versions.
        modules: modules that must be found for it to count as installed.
        extra: the extra of setup.cfg that installs its packages; ``None`` when tvmopt itself requires them all.
        by_hand: how to install it when no extra can (for example, it needs a separate environment); else empty.
        runner: creates the runner.
        profiler: its `Profiler`, as ``module:function``; empty when it has none. A string, because profilers import
            their runners, and are not needed before a worker profiles.
        unprofiled: why it has no profiler, one line; empty when it has one.
        peer: whether tvmopt is compared with it: another project's runtime that computes in the same precision.
        prepared: how often an ahead-of-time step runs: ``never``, ``per batch`` size, or ``per threads``.
        kinds: the kinds of models that it accepts because it loads the user's source itself; None for a runtime that
            runs the ONNX form and so accepts every kind.
        lacks: returns one line on anything else missing (such as a compiler), or None.
        lacks_for: the kinds of models for which that matters; None for all.
        quantized: whether it computes in INT8 and so needs calibration.
        half: whether it stores or computes numbers in 16 bits, so that its error is shown but not judged.
        at_once: whether one timed call makes several requests at once, so that its time is not a request's latency.
        with_streams: returns it with a number of streams, called ``NAME-streams-NUMBER``; None where it has none.
        streams: the streams that it is set up with, each with a thread at least; 0 where they are its own choice.
        uses_records: whether it compiles with tuning records, which must then be readable.
        compiles: makes the file of the model that it compiles with records, where that is another than the user's.
        only_named: whether a comparison has it only when it is named.
        unfit: returns one line on why it does not apply on this machine, or None.
        choices: its parameters that a search may set, in the order in which it tries them; the number of threads, which
            every runtime has, is not among them.
        environment: the environment of `pipeline.devices.environments` that has its modules; empty for this one. Its
            runner must report the version among its settings.

    Raises:
        ValueError: when it has neither a profiler nor a reason for having none, or both.
    """

    name: str
    title: str
    variant: str
    about: str
    packages: tuple[str, ...]
    modules: tuple[str, ...]
    extra: str | None = None
    by_hand: str = ""
    runner: Callable[[], Runner]
    profiler: str = ""
    unprofiled: str = ""
    peer: bool
    prepared: str = "never"
    kinds: tuple[str, ...] | None = None
    lacks: Callable[[], str | None] = lambda: None
    lacks_for: tuple[str, ...] | None = None
    quantized: bool = False
    half: bool = False
    at_once: bool = False
    with_streams: Callable[[int], Runtime] | None = None
    streams: int = 0
    uses_records: bool = False
    compiles: Callable[[Job], Path] | None = None
    only_named: bool = False
    unfit: Callable[[], str | None] = lambda: None
    choices: tuple[Choice, ...] = ()
    environment: str = ""

    def __post_init__(self) -> None:
        if bool(self.profiler) == bool(self.unprofiled):
            raise ValueError(f"{self.name}: give either a profiler or the reason why there is none")

    @property
    def install(self) -> str:
        """How to install it, one line."""
        if self.by_hand:
            return self.by_hand
        return f"pip install 'tvmopt[{self.extra}]'" if self.extra else "pip install tvmopt"

    def versions(self) -> dict[str, str]:
        """Versions of its installed packages, as far as they are known without running anything."""
        if self.environment and is_pinned(find_environment(self.environment)):
            pins = find_environment(self.environment).pins()
            return {name: pins[name] for name in self.packages}
        return package_versions(self.packages)

    def variables(self, parameters: Mapping[str, str]) -> dict[str, str]:
        """The environment variables that set `parameters`, of those choices that are set so."""
        named = {choice.name: choice.variable for choice in self.choices if choice.variable}
        return {named[name]: value for name, value in parameters.items() if name in named}

    def load_profiler(self) -> Profiler:
        """Imports its profiler.

        Raises:
            ValueError: when it has none, with the reason.
        """
        if not self.profiler:
            raise ValueError(f"{self.name} cannot be profiled: {self.unprofiled}")
        module, _, function = self.profiler.partition(":")
        profiler: Profiler = getattr(importlib.import_module(module), function)
        return profiler

    def refusal(self, kind: str) -> str | None:
        """One line on why it does not apply to models of `kind`, or ``None`` when it does."""
        if self.kinds is None or kind in self.kinds:
            return None
        return f"not applicable: the model is {find_importer(kind).title}"

    def too_few(self, threads: int) -> str | None:
        """One line on why it needs more than `threads` threads, or ``None`` when it does not."""
        if self.streams <= threads:
            return None
        return f"not applicable: {self.streams} streams need {self.streams} threads, this cell has {threads}"

    def missing(self, kind: str | None = None) -> str | None:
        """One line on what is missing and how to install it, or ``None`` if nothing is. Imports nothing.

        Args:
            kind: the kind of the model to run; None asks for all that it takes.
        """
        lacks = self.lacks if kind is None or self.lacks_for is None or kind in self.lacks_for else lambda: None
        if self.environment:
            return missing(find_environment(self.environment)) or lacks()
        absent = [name for name in self.modules if importlib.util.find_spec(name) is None]
        if absent:
            return f"{', '.join(absent)} not installed: {self.install}"
        return lacks()
