"""The types of an evaluation: the accuracy of each runtime on a labelled set; frozen, and as JSON.

Schema ``tvmopt-accuracy``, version 1: ``schema``, ``schema_version``, ``created``, ``complete``, ``environment``,
``model`` (``name, spec, kind, sha256``) and ``accuracy``, which `Accuracy` describes. Values of top-1, top-5, mAP and
mean IoU are parts of 1; those of a user's metric are in its own unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tvmopt.benchmarks.measurements.json_fields import (
    boolean,
    list_of,
    mapping_of,
    number,
    one_of,
    optional,
    text,
    whole,
)

SCHEMA, SCHEMA_VERSION = "tvmopt-accuracy", 1

STATUSES = ("ok", "unavailable", "not_applicable", "failed")
"""The statuses of a row: as those of a measurement (`measurements.types`)."""


@dataclass(frozen=True, slots=True)
class AccuracyValue:
    """A value with its 95 % interval.

    Attributes:
        name: what it is, such as ``top-1``.
        value: the value.
        low, high: its interval.
    """

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AccuracyRow:
    """One runtime's accuracy.

    Attributes:
        runtime: its name on the command line; ``artifact`` for an artifact, ``against`` for the model given so.
        title: what tables call it.
        variant: precision and kind.
        status: one of `STATUSES`.
        message: empty, or the reason for the status in one line.
        samples: how many were judged.
        values: the metric first; empty unless samples were judged.
        difference: the metric less the reference's on the same samples; None for the reference itself, or without one.
        chance: the probability of a difference as large without a cause, by McNemar's exact test; None without one.
    """

    runtime: str
    title: str
    variant: str
    status: str
    message: str = ""
    samples: int = 0
    values: tuple[AccuracyValue, ...] = ()
    difference: AccuracyValue | None = None
    chance: float | None = None

    @property
    def loses(self) -> bool:
        """Whether it is worse than the reference beyond chance."""
        return self.difference is not None and self.difference.high < 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return asdict(self) | {"values": [asdict(value) for value in self.values]}

    @staticmethod
    def from_json(data: Any) -> AccuracyRow:
        """The inverse of `to_json`; raises ValueError that names the field."""
        difference = optional(data, "difference", mapping_of)
        return AccuracyRow(
            runtime=text(data, "runtime"),
            title=text(data, "title"),
            variant=text(data, "variant"),
            status=one_of(data, "status", STATUSES),
            message=text(data, "message"),
            samples=whole(data, "samples"),
            values=tuple(_value(entry) for entry in list_of(data, "values")),
            difference=None if difference is None else _value(difference),
            chance=optional(data, "chance", number),
        )


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What was evaluated, and every row.

    Attributes:
        metric: the metric's title.
        percent: whether values are parts of 1, which tables show in per cent.
        data: where the samples are from, and their form.
        samples: how many there are.
        skipped: how many of them could not be read.
        preprocessing: how pictures became inputs, and why where the user did not say.
        reference: the runtime that differences are to; empty without one.
        notes: what a reader must know, one line each.
        rows: in the order of the runtimes.
    """

    metric: str
    percent: bool
    data: str
    samples: int
    skipped: int
    preprocessing: str
    reference: str
    notes: tuple[str, ...]
    rows: tuple[AccuracyRow, ...]

    def row(self, runtime: str) -> AccuracyRow | None:
        """The row of a runtime, if it has one."""
        return next((row for row in self.rows if row.runtime == runtime), None)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return asdict(self) | {"notes": list(self.notes), "rows": [row.to_json() for row in self.rows]}

    @staticmethod
    def from_json(data: Any) -> Accuracy:
        """The inverse of `to_json`; raises ValueError that names the field."""
        texts = {name: text(data, name) for name in ("metric", "data", "preprocessing", "reference")}
        return Accuracy(
            **texts,
            percent=boolean(data, "percent"),
            samples=whole(data, "samples"),
            skipped=whole(data, "skipped"),
            notes=tuple(text({"notes": note}, "notes") for note in list_of(data, "notes")),
            rows=tuple(AccuracyRow.from_json(row) for row in list_of(data, "rows")),
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One run of ``tvmopt evaluate``.

    Attributes:
        created: when it began, ISO 8601 with time zone.
        complete: false when it was stopped early.
        environment: see `benchmarks.machine.environment.read_environment`.
        model: name, spec, kind, sha256.
        accuracy: the rows.
    """

    created: str
    complete: bool
    environment: Mapping[str, Any]
    model: Mapping[str, Any]
    accuracy: Accuracy

    def to_json(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "created": self.created,
            "complete": self.complete,
            "environment": dict(self.environment),
            "model": dict(self.model),
            "accuracy": self.accuracy.to_json(),
        }


def _value(data: Any) -> AccuracyValue:
    return AccuracyValue(text(data, "name"), number(data, "value"), number(data, "low"), number(data, "high"))
