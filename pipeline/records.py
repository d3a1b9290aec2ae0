"""Records: what trials measured, filed by workload and target in append-only JSON lines.

A record knows its workload, its target and its template's version. Where one of them differs it is a miss, or a hint
for the search (`pipeline.tuning.transfer`), never applied. The format is described in tuning_logs/README.md.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import math
import platform
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import InputFileError
from pipeline.journal import append_line, read_lines
from schedules.space import Config, config_key
from schedules.target import Target
from schedules.workload import Workload

FORMAT = 1
"""Version of the records' JSON that this release writes and reads."""

STATUSES = ("ok", "wrong", "compile_error", "timeout", "crash")
"""How a trial can end; only ``ok`` has latencies and can be applied."""

CLEARLY = 1.05
"""A config replaces the default where the default takes so many times as long; what is nearer does not carry over from
a kernel that runs alone to one inside a model."""

_PATH_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")


class FormatVersionError(InputFileError):
    """A record is of a format version that this release does not read."""


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
        in_model: whether it was timed inside a model, between its other kernels, and not alone; `latency_s` is then the
            faster half.
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
        if not all(math.isfinite(x) and x > 0 for x in self.latency_s):
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
            workload=_workload(json.dumps(data["workload"])),
            target_key=str(target.pop("key")),
            target=target,
            template=str(data["template"]["name"]),
            template_version=int(data["template"]["version"]),
            config=dict(config),
            status=str(data["status"]),
            latency_s=tuple(float(x) for x in data["latency_s"]),
            error=str(data["error"]),
            time=str(data["time"]),
            tvm_version=str(data["tvm"]),
            cpu=str(data["cpu"]),
            in_model=bool(data.get("in_model", False)),
        )


class RecordStore:
    """The records under a folder, ``<folder>/<target key>/<name>.jsonl``.

    All files are read on first use. What this object appends is in its answers at once; what other processes append
    afterwards is not.
    """

    def __init__(self, directory: Path, name: str = "records") -> None:
        """Opens a store; neither reads nor writes yet.

        Args:
            directory: the folder; need not exist, then the store is empty.
            name: stem of the files that records are appended to, such as the model's name; what is not a letter, a
                digit or one of ._+- becomes an underscore.
        """
        self.directory = directory
        self.name = re.sub(r"[^\w.+-]", "_", name)[:128].lstrip(".") or "records"
        self._records: list[Record] | None = None
        self._index: dict[tuple[str, str, str, int], list[Record]] = {}

    def log(self, target_key: str) -> Path:
        """The file that records of a target are appended to."""
        return self.directory / target_key / f"{self.name}.jsonl"

    def append(self, record: Record) -> None:
        """Files one record; it is on disk when this returns.

        Raises:
            InputFileError: when the file cannot be written.
        """
        path = self.log(record.target_key)
        records = self._loaded()
        try:
            append_line(path, record.to_line())
        except OSError as error:
            raise InputFileError(f"{path}: cannot be written: {error.strerror}") from error
        records.append(record)
        self._file(record)

    def records(self) -> Sequence[Record]:
        """All records: files in the order of their names, lines in file order.

        Raises:
            InputFileError: naming file and line, when a line is corrupt or of an unknown format version.
        """
        return tuple(self._loaded())

    def history(self, workload_key: str, target_key: str, template: str, template_version: int) -> Sequence[Record]:
        """All records of one workload, target and template version, failed ones too, in file order."""
        self._loaded()
        return tuple(self._index.get((workload_key, target_key, template, template_version), ()))

    def groups(self, template: str, template_version: int) -> Iterator[Sequence[Record]]:
        """The records of each workload and target that were made with one template version, failed ones too.

        Without those that were timed inside a model: from kernels that ran alone others can be foretold.
        """
        self._loaded()
        wanted = (template, template_version)
        for key, group in self._index.items():
            if key[2:] == wanted:
                yield tuple(record for record in group if not record.in_model)

    def best(
        self, workload_key: str, target_key: str, template: str, template_version: int, cpu: str | None = None
    ) -> Record | None:
        """The fastest record of exactly this workload, target and template version, as `fastest` has it, or None.

        Args:
            workload_key: `Workload.key`.
            target_key: `Target.key`.
            template: the template's name.
            template_version: the template's version.
            cpu: whose latencies to go by; None for this machine's processor.
        """
        return fastest(self.history(workload_key, target_key, template, template_version), cpu)

    def _loaded(self) -> list[Record]:
        if self._records is None:
            self._records = []
            for path in log_files(self.directory) if self.directory.exists() else ():
                for record in read_records(path):
                    self._records.append(record)
                    self._file(record)
        return self._records

    def _file(self, record: Record) -> None:
        key = (record.workload_key, record.target_key, record.template, record.template_version)
        self._index.setdefault(key, []).append(record)


def log_files(directory: Path) -> list[Path]:
    """The logs under a store's folder, sorted.

    Raises:
        InputFileError: when `directory` is not a folder.
    """
    if not directory.is_dir():
        what = "is a file, not a folder of logs" if directory.exists() else "no such folder"
        raise InputFileError(f"{directory}: {what}; give the folder that has <target>/<model>.jsonl")
    return sorted(path for path in directory.glob("*/*.jsonl") if path.is_file())


def read_records(path: Path) -> Iterator[Record]:
    """The records of one log; a torn last line, as kill -9 leaves it, is passed over.

    Raises:
        InputFileError: naming file and line, when a line is corrupt.
        FormatVersionError: when a line is of another format version.
    """
    try:
        for number, line in read_lines(path):
            yield parse_line(line, f"{path}:{number}")
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}") from error


def parse_line(line: bytes, where: str) -> Record:
    """The record of one line.

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


def fastest(records: Sequence[Record], cpu: str | None = None, default: Config | None = None) -> Record | None:
    """Of records of one workload, target and template version, one of the config with the least median latency.

    A config that was measured several times counts with the median of all its samples, so that one lucky run does not
    win; its last record is returned. Latencies of different processors are never compared: those of `cpu` decide if
    there are any, otherwise those of the processor that has most records. Where some were timed inside a model, these
    decide.

    Args:
        records: may have failed ones among them.
        cpu: whose latencies to go by; None for this machine's processor.
        default: a config that wins where the fastest is not `CLEARLY` faster; inside a model it has no such favour.

    Returns:
        None when no trial succeeded.
    """
    successes = [record for record in records if record.latency_s]
    if not successes:
        return None
    processors = [record.cpu for record in successes]
    wanted = cpu or host_cpu()
    judge = wanted if wanted in processors else statistics.mode(processors)
    samples = defaultdict[tuple[tuple[str, int], ...], list[float]](list)
    last = {}
    judged = [record for record in successes if record.cpu == judge]
    inside = [record for record in judged if record.in_model]
    for record in inside or judged:
        samples[config_key(record.config)] += record.latency_s
        last[config_key(record.config)] = record
    medians = {key: statistics.median(latencies) for key, latencies in samples.items()}
    best, favoured = min(medians, key=medians.__getitem__), () if inside else config_key(default or {})
    return last[favoured if medians.get(favoured, math.inf) < CLEARLY * medians[best] else best]


def ranked(records: Sequence[Record], count: int) -> list[Record]:
    """A record of each of the `count` fastest configs, as `fastest` has it, the fastest first."""
    chosen: list[Record] = []
    rest = list(records)
    while len(chosen) < count and (best := fastest(rest)) is not None:
        chosen.append(best)
        rest = [record for record in rest if config_key(record.config) != config_key(best.config)]
    return chosen


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


@functools.cache
def tvm_version() -> str:
    """The installed TVM's version; TVM is not imported."""
    return importlib.metadata.version("apache-tvm")


@functools.cache
def host_cpu() -> str:
    """Name of this machine's processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@functools.lru_cache(maxsize=4096)
def _workload(text: str) -> Workload:
    """Parsed once: a log has hundreds of lines for each workload."""
    workload = Workload.from_json(json.loads(text))
    hash(workload)  # a TypeError here, not later, when something in it is no plain value
    return workload


@functools.lru_cache(maxsize=4096)
def _key(workload: Workload) -> str:
    return workload.key
