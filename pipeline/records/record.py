"""One record: what a trial measured, as one line of JSON. The format is described in tuning_logs/README.md."""

from __future__ import annotations

import functools
import json
import marshal
import math
import re
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tvmopt.pipeline.errors import InputFileError
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

FORMAT = 1
"""Version of the records' JSON that this release writes and reads."""
STATUSES = ("ok", "wrong", "compile_error", "timeout", "crash")
"""How a trial can end; only ``ok`` has latencies and can be applied."""
_PLAIN = 2
"""The version of marshal's format in which equal values are equal bytes."""
_PATH_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")


class FormatVersionError(InputFileError):
    """A record has a format version that this release does not read."""


@dataclass(frozen=True, slots=True)
class Record:
    """One trial: a config of a template, run for a workload on a target.

    Attributes:
        workload: what was computed.
        target_key: `Target.key` of what it ran on.
        target: the target's facts, as `target_facts` gives them.
        template: the template's name.
        template_version: the template's version.
        config: a value for each knob.
        status: one of `STATUSES`.
        latency_s: raw samples in seconds, in the order measured; empty unless the status is ``ok``.
        error: what went wrong, one line; empty if nothing did.
        time: when, in UTC, as ISO 8601.
        tvm_version: version of TVM that built it.
        cpu: name of the processor that ran it. Latencies of two processors are not compared.
        in_model: whether it was timed inside a model, among its other kernels, rather than alone; `latency_s` is then
            the faster half of the samples.
    """

    workload: Workload
    target_key: str
    target: Mapping[str, Any]
    template: str
    template_version: int
    config: Config
    status: str
    latency_s: tuple[float, ...]
    error: str
    time: str
    tvm_version: str
    cpu: str
    in_model: bool = False

    def __post_init__(self) -> None:
        if not _PATH_NAME.fullmatch(self.target_key):
            raise ValueError(f"target key must be letters, digits and ._+-, got {self.target_key!r}")
        if self.status not in STATUSES:
            raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {self.status!r}")
        if (self.status == "ok") != bool(self.latency_s):
            raise ValueError(f"a record has latencies if and only if it is ok, got {self.status!r}, {self.latency_s}")
        # The sum is finite only if all are; millions of samples are read at once.
        if self.latency_s and not (math.isfinite(sum(self.latency_s)) and min(self.latency_s) > 0):
            raise ValueError(f"latencies must be positive seconds, got {self.latency_s}")

    @property
    def workload_key(self) -> str:
        """`Workload.key` of the workload."""
        return _key(self.workload)

    @property
    def median_s(self) -> float | None:
        """Median latency in seconds; None unless the status is ``ok``."""
        return statistics.median(self.latency_s) if self.latency_s else None

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "format": FORMAT,
            "workload": self.workload.to_json(),
            "target": {"key": self.target_key, **self.target},
            "template": {"name": self.template, "version": self.template_version},
            "config": dict(self.config),
            "status": self.status,
            "latency_s": list(self.latency_s),
            "error": self.error,
            "time": self.time,
            "tvm": self.tvm_version,
            "cpu": self.cpu,
            **({"in_model": True} if self.in_model else {}),
        }

    def to_line(self) -> str:
        """The record as one line of a log."""
        return json.dumps(self.to_json(), separators=(",", ":"), allow_nan=False)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Record:
        """The inverse of `to_json`.

        Raises:
            AttributeError, KeyError, OverflowError, TypeError, ValueError: when `data` is not what `to_json` writes.
        """
        target = dict(data["target"])
        config = data["config"]
        if not all(type(value) is int for value in config.values()):
            raise ValueError(f"a config has whole numbers, got {config}")
        return Record(
            workload=_workload(marshal.dumps(data["workload"], _PLAIN)),
            target_key=str(target.pop("key")),
            target=target,
            template=str(data["template"]["name"]),
            template_version=int(data["template"]["version"]),
            config=dict(config),
            status=str(data["status"]),
            latency_s=tuple(map(float, data["latency_s"])),
            error=str(data["error"]),
            time=str(data["time"]),
            tvm_version=str(data["tvm"]),
            cpu=str(data["cpu"]),
            in_model=bool(data.get("in_model", False)),
        )


def parse_line(line: bytes, where: str) -> Record:
    """Parses one line of a log.

    Args:
        line: the line's bytes.
        where: file and line number, with a colon between, for the error.

    Raises:
        InputFileError: when the line is corrupt.
        FormatVersionError: when the line is of another format version.
    """
    try:
        data = json.loads(line)
        version = data["format"]
        if version != FORMAT:
            raise FormatVersionError(
                f"{where}: record of format {version!r}, this tvmopt reads format {FORMAT}: use the release it is from"
            )
        return Record.from_json(data)
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        start = line[:40].decode(errors="replace") + ("…" if len(line) > 40 else "")
        reason = f"no {error}" if isinstance(error, KeyError) else str(error).partition("\n")[0][:120]
        remedy = f"move it away with: tvmopt logs prune --corrupt-only {where.rpartition(':')[0]}"
        raise InputFileError(f"{where}: not a record ({reason}), got {start!r}; {remedy}") from None


def target_facts(target: Target) -> dict[str, Any]:
    """What a record keeps of its target besides the key."""
    return {
        "name": target.name,
        "tvm": dict(target.tvm),
        "isa": target.isa,
        "arch": target.arch,
        "l1_bytes": target.l1_bytes,
        "l2_bytes": target.l2_bytes,
        "threads": target.threads,
        "features": list(target.features),
    }


@functools.lru_cache(maxsize=4096)
def _workload(content: bytes) -> Workload:
    """Made once: a log has hundreds of lines for each workload."""
    workload = Workload.from_json(marshal.loads(content))  # noqa: S302  # it comes from JSON, and `marshal.dumps`
    hash(workload)  # raises TypeError here, not later, if a value in it is not plain
    return workload


@functools.lru_cache(maxsize=4096)
def _key(workload: Workload) -> str:
    return workload.key
