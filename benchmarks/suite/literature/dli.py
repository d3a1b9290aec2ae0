"""One network from five sources: each framework on its own file, beside the others and ours.

As in the Deep Learning Inference benchmark: sequential requests, latency is their median, frames per second are the
batch over it. The five files have the same weights, so their outputs must agree.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from tvmopt.benchmarks.comparison.compare import run_comparison
from tvmopt.benchmarks.measurements.files import from_document
from tvmopt.benchmarks.measurements.options import CompareOptions, MeasureOptions
from tvmopt.benchmarks.measurements.statistics import ratio_of_medians
from tvmopt.benchmarks.measurements.types import Comparison, Measurement
from tvmopt.benchmarks.measurements.verdicts import TRANSFER
from tvmopt.benchmarks.runtimes.registry import known_runtime
from tvmopt.benchmarks.suite.network_table import in_ms, latency_of, mark, row_of
from tvmopt.benchmarks.suite.steps import EchoSteps
from tvmopt.pipeline.devices.environments.run_script import ScriptError
from tvmopt.pipeline.errors import CancelledError, TvmoptError
from tvmopt.pipeline.importers.load import load_onnx
from tvmopt.pipeline.support.messages import one_line
from tvmopt.pipeline.support.numeric_error import numeric_error
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.support.shipped import shipped

SET = "dli"

ORIGINALS: Mapping[str, str] = {
    "tensorflow": "tensorflow",
    "tflite": "litert",
    "mxnet": "mxnet",
    "onnx": "onnxruntime",
    "pytorch": "pytorch",
}
"""By source: the runtime of its own framework."""

ALLOWED = 1e-4
"""The relative error between the outputs of any source and those of the last one, PyTorch."""

FAILURES = (TvmoptError, ScriptError, ImportError, OSError, RuntimeError, ValueError)
"""What a source raises that cannot be written, read or measured: a package is missing, a framework does not take it."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of the network from one source.

    Attributes:
        name: of the source.
        comparison: its own runtime beside ours; None where it was not measured.
        apart: the relative error of its outputs against PyTorch's; None where that is not known.
        reason: why something is missing; empty where nothing is.
    """

    name: str
    comparison: Comparison | None = None
    apart: float | None = None
    reason: str = ""


@contextmanager
def five_sources() -> Iterator[Any]:
    """The module of models/ that writes the network.

    Raises:
        ImportError: PyTorch is not installed, which defines it.
    """
    folders = [str(shipped("models")), str(shipped("models") / "literature")]
    before = list(sys.path)
    sys.path[:0] = folders
    try:
        yield importlib.import_module("five_sources")
    finally:
        sys.path[:] = before


def outputs_of(spec: str) -> np.ndarray:
    """What the ONNX form of a source computes on one image, the same for all, whichever way its channels lie."""
    model, _ = load_onnx(spec)
    (taken,) = model.graph.input
    shape = tuple(size.dim_value for size in taken.type.tensor_type.shape.dim)
    image = np.random.default_rng(0).standard_normal((1, 3, *sorted(shape)[-2:])).astype(np.float32)
    (found,) = run_model(model, {taken.name: image if shape[1] == 3 else image.transpose(0, 2, 3, 1).copy()}).values()
    return found


def measure_sources(chosen: Sequence[str], threads: int, rounds: int, iterations: int) -> list[Source]:
    """Writes, compares and measures the network from each source; Ctrl-C keeps what is done.

    A source that fails is one of the results, with the reason, and ends no other.

    Args:
        chosen: the sources; all when empty.
        threads: of each runtime.
        rounds: turns of each runtime.
        iterations: timed requests to each, spread over the rounds.
    """
    measure = MeasureOptions(method="dli", rounds=rounds, iterations=iterations)
    found: list[Source] = []
    with tempfile.TemporaryDirectory(prefix="tvmopt-") as folder, suppress(KeyboardInterrupt, CancelledError):
        expected, unknown = _expected(Path(folder))
        for name in chosen or ORIGINALS:
            click.echo(f"{name} …", err=True)
            try:
                with five_sources() as written:
                    spec = _relative(written.save(Path(folder), name))
                apart = None if expected is None else numeric_error(expected, outputs_of(spec)).relative
                runtime = ORIGINALS[name]
                runtimes = (runtime, TRANSFER) if known_runtime(runtime) else (TRANSFER,)
                options = CompareOptions(spec, runtimes, threads=(threads,), measure=measure)
                comparison = from_document(run_comparison(options, EchoSteps()))
                found.append(Source(name, comparison, apart, unknown))
            except FAILURES as error:
                found.append(Source(name, reason=in_one_line(error)))
    return found


def _expected(folder: Path) -> tuple[np.ndarray | None, str]:
    """The outputs that all others are compared with, PyTorch's; without them, why there are none."""
    try:
        with five_sources() as written:
            return outputs_of(_relative(written.save(folder, "pytorch"))), ""
    except FAILURES as error:
        return None, f"there are no outputs of PyTorch to compare with: {in_one_line(error)}"


def in_one_line(error: Exception) -> str:
    """What an error says, with its kind where it is no error for users."""
    said = one_line(error)
    return said if isinstance(error, TvmoptError | ScriptError) else f"{type(error).__name__}: {said}"


def _relative(spec: str) -> str:
    """MODEL with a relative path, as tables and measurement files should have it."""
    path, colon, factory = spec.partition(":")
    return os.path.relpath(path) + colon + factory


def render_sources(sources: Sequence[Source]) -> str:
    """The table in Markdown, and below it why something is missing."""
    heads = ("source", "original runtime", "its ms", "its FPS", "tvmopt ms", "tvmopt FPS", "over the original")
    lines = [row_of((*heads, "error", "outputs apart")), f"|{'---|' * 9}"]
    reasons = []
    for source in sources:
        rows = {row.runtime: row for row in source.comparison.measurements} if source.comparison else {}
        original, ours = rows.get(ORIGINALS[source.name]), rows.get(TRANSFER)
        ratio = _ratio(original, ours)
        error = ours.output_error if ours is not None else None
        cells = (
            *(source.name, _title(source.name), *_times(original), *_times(ours)),
            *("–" if ratio is None else f"{ratio:.2f}", "–" if error is None else f"{error.relative:.1e}"),
            "–" if source.apart is None else mark(source.apart, source.apart <= ALLOWED, "{:.1e}"),
        )
        lines.append(row_of(cells))
        reasons += [f"- {source.name}: {reason}" for reason in _reasons(source, original, ours)]
    return "\n".join([*lines, *([""] if reasons else []), *reasons]) + "\n"


def _title(source: str) -> str:
    runtime = known_runtime(ORIGINALS[source])
    return runtime.title if runtime is not None else ORIGINALS[source]


def _times(row: Measurement | None) -> tuple[str, str]:
    """Milliseconds and frames per second."""
    if row is None or row.latency_s is None:
        return "–", "–"
    return in_ms(row.latency_s.median), f"{row.batch / row.latency_s.median:.1f}"


def _ratio(original: Measurement | None, ours: Measurement | None) -> float | None:
    if original is None or ours is None or original.latency_s is None or ours.latency_s is None:
        return None
    return ratio_of_medians(latency_of(original), latency_of(ours))[0]


def _reasons(source: Source, original: Measurement | None, ours: Measurement | None) -> Iterator[str]:
    """Why a cell of the table is empty or wrong."""
    if source.reason:
        yield source.reason
    if source.comparison is None:
        return
    if original is None:
        yield f"it was not measured with {ORIGINALS[source.name]}"
    for row in (original, ours):
        if row is not None and row.status != "ok":
            yield f"{row.runtime} {row.status}: {row.message}"
