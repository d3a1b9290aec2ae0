"""A profile from beginning to end: import, write files, prepare, profile every runtime, compare with the roofline.

Schema ``tvmopt-profile``, its versions:

1. ``schema``, ``schema_version``, ``created``, ``environment`` (see `benchmarks.machine.environment`), ``model``
   (``name, spec, kind, sha256``), ``notes`` (by runtime: unusual preparation), and the fields of
   `benchmarks.measurements.layer_table.LayerTable`: ``batch, threads, order[], costs, roofline, profiles``.

2. also ``operators[] {name, calls, seconds}`` in a runtime's profile, longest first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvmopt.benchmarks.machine.environment import choose_cores, read_environment
from tvmopt.benchmarks.machine.roofline import measure_roofline
from tvmopt.benchmarks.measurements.layer_table import LayerTable, NoProfile
from tvmopt.benchmarks.measurements.options import CompareOptions, MeasureOptions
from tvmopt.benchmarks.profiling.profile_runtimes import Profiling, profile_layers
from tvmopt.benchmarks.runtimes.base import Runtime
from tvmopt.benchmarks.runtimes.registry import recorded_packages, select_runtimes
from tvmopt.benchmarks.workers.prepare import check_records, prepare_job, prepare_runtime
from tvmopt.benchmarks.workers.prepared_model import PreparedModel, batch_of, describe_model, make_subject
from tvmopt.pipeline.errors import RuntimeMissingError, UsageError
from tvmopt.pipeline.importers import parse_source
from tvmopt.pipeline.support.progress import Listener, Steps

if TYPE_CHECKING:
    import numpy as np

SCHEMA = "tvmopt-profile"
SCHEMA_VERSION = 2
RUNTIMES = ("tvmopt", "pytorch", "onnxruntime", "openvino")
"""The runtimes profiled when none are named."""

DEFAULTS = "no records for this model, machine and thread count: all kernels use their default schedules"


@dataclass(frozen=True, slots=True)
class ProfileOptions:
    """What to profile.

    Attributes:
        model: MODEL as on the command line, or an artifact's path.
        runtimes: names, in any order.
        threads: threads of each; when 0, all cores, or the number that an artifact was compiled for.
        input_shapes: shapes of the model's inputs by name, where it leaves them open.
        logs: folders of tuning records, in search order; they need not exist.
        seconds: approximate profiling time of each runtime.
        inputs: an array for each input that the model runs on; it settles open shapes too. Random ones when None.
        input_values: values of inputs that become constants.
    """

    model: str
    runtimes: tuple[str, ...] = RUNTIMES
    threads: int = 0
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    logs: tuple[Path, ...] = ()
    seconds: float = 3.0
    inputs: Mapping[str, np.ndarray] | None = None
    input_values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.seconds < 3600:
            raise UsageError(f"seconds must be above 0 and below 3600, got {self.seconds:g}")
        if self.threads < 0:
            raise UsageError(f"threads must be at least 1, got {self.threads}")


def profile_model(options: ProfileOptions, listener: Listener | None = None) -> dict[str, Any]:
    """Profiles a model in every named runtime that is installed.

    Args:
        options: what to profile.
        listener: receives progress; may request a stop.

    Returns:
        The JSON document described above. A missing or failed runtime has an entry with the reason.

    Raises:
        UsageError: a runtime is unknown, or there are more threads than cores.
        RuntimeMissingError: none of the runtimes is installed.
        CancelledError: the listener requested a stop.
        TvmoptError: any error from importing the model or reading the logs.
    """
    runtimes = select_runtimes(options.runtimes)
    absent = _find_absent(runtimes, parse_source(options.model).kind)
    if len(absent) == len(runtimes):
        reasons = "; ".join(f"{name}: {entry.message}" for name, entry in absent.items())
        raise RuntimeMissingError(f"none of the runtimes can be profiled: {reasons}")
    cores = choose_cores(options.threads)
    check_records(runtimes, options.logs)
    present = [runtime for runtime in runtimes if runtime.name not in absent]
    document = open_document()
    with (
        tempfile.TemporaryDirectory(prefix="tvmopt-profile-") as folder,
        Steps(listener, 2 * len(present) + 2) as steps,
    ):
        subject = _lay_out(options, present, Path(folder), steps)
        name = subject.model.name
        steps.begin("the machine's roofline")
        measure = replace(MeasureOptions(), profile_s=options.seconds)
        wanted = Profiling(subject, tuple(present), cores, options.logs, measure_roofline(len(cores)), measure)
        notes: dict[str, str] = {}
        for runtime in present:
            steps.begin(f"{name}: {runtime.title}, getting ready")
            failure, notes[runtime.name] = _prepare(wanted, runtime)
            if failure is not None:
                absent[runtime.name] = failure
        table = _profile(wanted, absent, steps)
    entries = {runtime.name: absent.get(runtime.name) or table.entries[runtime.name] for runtime in runtimes}
    return (
        document
        | {"model": describe_model(subject.model), "notes": {runtime: note for runtime, note in notes.items() if note}}
        | replace(table, entries=entries).to_json()
    )


def _profile(wanted: Profiling, absent: Mapping[str, NoProfile], steps: Steps) -> LayerTable:
    """Profiles the requested runtimes except the absent ones."""
    ready = tuple(runtime for runtime in wanted.runtimes if runtime.name not in absent)
    name = wanted.subject.model.name
    return profile_layers(
        replace(wanted, runtimes=ready),
        lambda runtime: steps.begin(f"{name}: {runtime.title}, layer by layer"),
    )


def open_document() -> dict[str, Any]:
    """The head of a document: schema, time and environment."""
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": read_environment(recorded_packages()),
    }


def _find_absent(runtimes: Sequence[Runtime], kind: str) -> dict[str, NoProfile]:
    """The runtimes that cannot be profiled, by name."""
    absent = {}
    for runtime in runtimes:
        reason = runtime.unprofiled or runtime.refusal(kind) or runtime.missing(kind)
        if reason:
            absent[runtime.name] = NoProfile("unavailable", reason)
    return absent


def _lay_out(options: ProfileOptions, runtimes: Sequence[Runtime], folder: Path, steps: Steps) -> PreparedModel:
    """Imports the model and writes the workers' files."""
    from tvmopt.pipeline.importers import load_model

    steps.begin(f"importing {options.model}")
    model = load_model(options.model, options.input_shapes, None, options.inputs, options.input_values)
    quantized = any(runtime.quantized for runtime in runtimes)
    return make_subject(model, batch_of(model), folder, CompareOptions(options.model), quantized)


def _prepare(wanted: Profiling, runtime: Runtime) -> tuple[NoProfile | None, str]:
    """Runs the runtime's ahead-of-time step in its own process; returns a failure or None, and a note or nothing."""
    subject, cores, timeout_s = wanted.subject, wanted.cores, wanted.options.ready_timeout_s
    done, note = prepare_runtime(subject, runtime, cores, wanted.logs, timeout_s), ""
    if done.missing and runtime.name == "tvmopt":
        # Without records, the default schedules can still be profiled.
        job = subject.job(runtime, len(cores), wanted.logs)
        done, note = prepare_job("tvmopt-untuned", job, cores, timeout_s), DEFAULTS
    if done.failure:
        return NoProfile("failed", done.failure), ""
    if done.missing:
        return NoProfile("unavailable", done.missing), ""
    return None, note
