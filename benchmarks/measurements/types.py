"""The types of a comparison: Latency, Measurement, Verdict, Comparison; frozen, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from tvmopt.benchmarks.measurements.accuracy import Accuracy
from tvmopt.benchmarks.measurements.json_fields import (
    list_of,
    mapping_of,
    non_negative,
    number,
    one_of,
    optional,
    or_infinite,
    pair,
    positive,
    positive_int,
    text,
)
from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.measurements.search import Search
from tvmopt.pipeline.support.numeric_error import NumericError

STATUSES = ("ok", "wrong", "unavailable", "not_applicable", "failed")
"""The statuses of a row.

``ok``: measured; ``wrong``: measured, but its outputs differ from the model's, so no verdict uses it; ``unavailable``:
a package, tool or record is missing, and the message says how to get it; ``not_applicable``: the runtime cannot take
this kind of model, or the method of measuring does not suit it; ``failed``: it raised, crashed or hung, and the message
says where.
"""

OUTCOMES = ("faster", "no difference", "slower")

RelativeError = Literal["largest", "l2"]
"""The definition of `output_error.relative` in a comparison.

``largest``: as in `NumericError`, over the whole output; ``l2``: the L2 norm of the difference over that of the
reference, in files of versions 1 and 2.
"""
RELATIVE_ERRORS: tuple[RelativeError, ...] = get_args(RelativeError)


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of one call (a whole batch).

    Attributes:
        median, mean, p50, p90, p99, stdev: of all samples.
        interval: the 95 % confidence interval of the median.
        samples: every timed call, in order.
        turns: the number of samples in each turn, in order.
    """

    median: float
    mean: float
    p50: float
    p90: float
    p99: float
    stdev: float
    interval: tuple[float, float]
    samples: tuple[float, ...]
    turns: tuple[int, ...]

    def __post_init__(self) -> None:
        if sum(self.turns) != len(self.samples):
            raise ValueError(f"turns add up to {sum(self.turns)}, but there are {len(self.samples)} samples")

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        names = ("median", "mean", "p50", "p90", "p99", "stdev")
        lists = {"interval": list(self.interval), "samples": list(self.samples), "turns": list(self.turns)}
        return {name: getattr(self, name) for name in names} | lists

    @staticmethod
    def from_json(data: Any) -> Latency:
        """The inverse of `to_json`; raises ValueError that names the field."""
        values = {name: positive(data, name) for name in ("median", "mean", "p50", "p90", "p99")}
        samples = tuple(positive({"samples": value}, "samples") for value in list_of(data, "samples"))
        turns = tuple(positive_int({"turns": value}, "turns") for value in list_of(data, "turns"))
        interval = pair(data, "interval")
        return Latency(**values, stdev=non_negative(data, "stdev"), interval=interval, samples=samples, turns=turns)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One runtime on the model at one batch size and thread count.

    Attributes:
        runtime: its name on the command line.
        variant: precision and kind, such as ``FP32, tuned``.
        batch, threads: batch size and thread count.
        status: one of `STATUSES`.
        message: empty, or the reason for the status in one line.
        latency_s: None unless the status is ``ok`` or ``wrong``.
        prepare_s: time for compiling or quantising ahead of time, in a separate process.
        import_s: time for importing the runtime's library.
        load_s: time from the model's file to ready to run.
        first_run_s: time of the first call.
        peak_memory_bytes: highest resident memory of the worker process, including Python and the library.
        output_error: error against the reference, of the model's worst output; in the reference's own row it shows
            how reproducible the reference is.
        settings: how the runtime was set up.
        search: how its parameters were found; None when it ran with its defaults.
    """

    runtime: str
    variant: str
    batch: int
    threads: int
    status: str
    message: str = ""
    latency_s: Latency | None = None
    prepare_s: float | None = None
    import_s: float | None = None
    load_s: float | None = None
    first_run_s: float | None = None
    peak_memory_bytes: int | None = None
    output_error: NumericError | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    search: Search | None = None

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {self.status!r}")
        if (self.latency_s is not None) != (self.status in ("ok", "wrong")):
            raise ValueError(f"status {self.status!r} does not go with latency_s {self.latency_s}")

    @property
    def fps(self) -> float | None:
        """Frames a second: batch size over median latency."""
        return self.batch / self.latency_s.median if self.latency_s else None

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        names = ("runtime", "variant", "batch", "threads", "status", "message", "fps", "prepare_s", "import_s")
        plain = {name: getattr(self, name) for name in (*names, "load_s", "first_run_s", "peak_memory_bytes")}
        return plain | {
            "latency_s": self.latency_s.to_json() if self.latency_s else None,
            "output_error": self.output_error.to_json() if self.output_error else None,
            "settings": dict(self.settings),
            **({"search": self.search.to_json()} if self.search else {}),
        }

    @staticmethod
    def from_json(data: Any) -> Measurement:
        """The inverse of `to_json`; raises ValueError that names the field."""
        latency, error = optional(data, "latency_s", mapping_of), optional(data, "output_error", mapping_of)
        settings = mapping_of(data, "settings")
        times = ("prepare_s", "import_s", "load_s", "first_run_s")
        seconds = {name: optional(data, name, non_negative) for name in times}
        return Measurement(
            runtime=text(data, "runtime"),
            variant=text(data, "variant"),
            batch=positive_int(data, "batch"),
            threads=positive_int(data, "threads"),
            status=one_of(data, "status", STATUSES),
            message=text(data, "message"),
            latency_s=None if latency is None else Latency.from_json(latency),
            peak_memory_bytes=optional(data, "peak_memory_bytes", positive_int),
            output_error=None if error is None else _read_error(error),
            settings={name: text(settings, name) for name in settings},
            search=optional(data, "search", lambda row, name: Search.from_json(mapping_of(row, name))),
            **seconds,
        )


def _read_error(data: Any) -> NumericError:
    """The inverse of `NumericError.to_json`; raises ValueError that names the field."""
    return NumericError(or_infinite(data, "max_abs"), or_infinite(data, "relative"), number(data, "cosine"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on two runtimes at one batch size and thread count.

    Attributes:
        runtime, against: the two; the ratio is the first's median latency over the second's.
        batch, threads: batch size and thread count.
        ratio: below 1 when `runtime` is faster.
        interval: the 95 % confidence interval of the ratio.
        outcome: ``no difference`` when the interval covers 1.
    """

    runtime: str
    against: str
    batch: int
    threads: int
    ratio: float
    interval: tuple[float, float]
    outcome: Literal["faster", "no difference", "slower"]

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        names = ("runtime", "against", "batch", "threads", "ratio")
        return {name: getattr(self, name) for name in names} | {
            "interval": list(self.interval),
            "verdict": self.outcome,
        }

    @staticmethod
    def from_json(data: Any) -> Verdict:
        """The inverse of `to_json`; raises ValueError that names the field."""
        outcome: Any = one_of(data, "verdict", OUTCOMES)
        where = (positive_int(data, "batch"), positive_int(data, "threads"))
        return Verdict(
            text(data, "runtime"),
            text(data, "against"),
            *where,
            positive(data, "ratio"),
            pair(data, "interval"),
            outcome,
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """One run: every runtime in turn on one model, over batch sizes and thread counts.

    Attributes:
        created: when it began, ISO 8601 with time zone.
        complete: false when it was stopped early.
        environment: see `benchmarks.machine.environment.read_environment`.
        model: name, spec, kind, sha256, inputs, outputs, input_data, calibration, reference, reference_note,
            and in newer files checked_against and unchecked.
        protocol: how it was measured: method, rounds, turn_s, warmup_s and so on.
        measurements, verdicts: the rows.
        layers: a table of layer profiles for each cell; empty unless requested.
        relative_error: the definition of ``relative`` in the measurements' `output_error`.
        accuracy: the accuracy of the runtimes on a labelled set; None without one.
    """

    created: str
    complete: bool
    environment: Mapping[str, Any]
    model: Mapping[str, Any]
    protocol: Mapping[str, Any]
    measurements: tuple[Measurement, ...]
    verdicts: tuple[Verdict, ...]
    layers: tuple[LayerTable, ...] = ()
    relative_error: RelativeError = "largest"
    accuracy: Accuracy | None = None

    def cells(self) -> list[tuple[int, int]]:
        """The (batch, threads) pairs measured, in order."""
        return list(dict.fromkeys((row.batch, row.threads) for row in self.measurements))

    def rows(self, batch: int, threads: int) -> list[Measurement]:
        """The measurements at one batch size and thread count."""
        return [row for row in self.measurements if (row.batch, row.threads) == (batch, threads)]

    def verdict(self, runtime: str, against: str, cell: tuple[int, int]) -> Verdict | None:
        """The verdict on two runtimes in one cell, if there is one."""
        for verdict in self.verdicts:
            same = (verdict.runtime, verdict.against) == (runtime, against)
            if same and (verdict.batch, verdict.threads) == cell:
                return verdict
        return None
