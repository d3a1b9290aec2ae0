"""What a search for a runtime's best parameters found: Search, Trial; frozen, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tvmopt.benchmarks.measurements.json_fields import (
    boolean,
    list_of,
    mapping_of,
    non_negative,
    one_of,
    optional,
    pair,
    positive,
    positive_int,
    text,
)

OUTCOMES = ("taken", "no gain", "failed")
"""The outcomes of a trial.

``taken``: it was faster than the best so far by more than the noise; ``no gain``: it was not; ``failed``: it did not
run, or its outputs were wrong, and the message says how.
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """One value of one parameter, against the best parameters until then.

    Attributes:
        parameter, value: what was tried.
        outcome: one of `OUTCOMES`.
        ratio: its median latency over that of the best until then; None when it failed.
        interval: the 95 % confidence interval of the ratio; None when it failed.
        message: why it failed, one line, or empty.
    """

    parameter: str
    value: str
    outcome: str
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return asdict(self) | {"interval": None if self.interval is None else list(self.interval)}

    @staticmethod
    def from_json(data: Any) -> Trial:
        """The inverse of `to_json`; raises ValueError that names the field."""
        return Trial(
            text(data, "parameter"),
            text(data, "value"),
            one_of(data, "outcome", OUTCOMES),
            optional(data, "ratio", positive),
            optional(data, "interval", pair),
            text(data, "message"),
        )


@dataclass(frozen=True, slots=True)
class Search:
    """The search for one runtime's parameters in one cell.

    Attributes:
        found: the parameters that are not its defaults, by name; empty when the defaults stay.
        ratio: their median latency over that of the defaults, measured anew when the search was over; None when no
            trial was taken.
        interval: the 95 % confidence interval of the ratio.
        confirmed: whether that measurement showed a gain too; without one, the defaults stay.
        trials: in order.
        rounds: turns of both sides of each trial.
        seconds: how long the search took, loading included.
        message: why what was taken could not be measured anew, one line; empty where it was, or nothing was taken.
    """

    found: Mapping[str, str]
    ratio: float | None
    interval: tuple[float, float] | None
    confirmed: bool
    trials: tuple[Trial, ...]
    rounds: int
    seconds: float
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "found": dict(self.found),
            "ratio": self.ratio,
            "interval": None if self.interval is None else list(self.interval),
            "confirmed": self.confirmed,
            "trials": [trial.to_json() for trial in self.trials],
            "rounds": self.rounds,
            "seconds": self.seconds,
            "message": self.message,
        }

    @staticmethod
    def from_json(data: Any) -> Search:
        """The inverse of `to_json`; raises ValueError that names the field."""
        found = mapping_of(data, "found")
        return Search(
            {name: text(found, name) for name in found},
            optional(data, "ratio", positive),
            optional(data, "interval", pair),
            boolean(data, "confirmed"),
            tuple(Trial.from_json(trial) for trial in list_of(data, "trials")),
            positive_int(data, "rounds"),
            non_negative(data, "seconds"),
            optional(data, "message", text) or "",  # older files have none
        )
