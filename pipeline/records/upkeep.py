"""Maintains a folder of logs: merges others into it, and prunes it to the records worth keeping."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.records.journal import read_lines, rewrite
from tvmopt.pipeline.records.ranking import ranked
from tvmopt.pipeline.records.record import FormatVersionError, Record, parse_line
from tvmopt.pipeline.records.store import RecordStore, log_files, read_records
from tvmopt.schedules.space import config_key


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge did.

    Attributes:
        read: records in the sources.
        added: those that were new.
        files: logs that records were added to.
    """

    read: int
    added: int
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What pruning did.

    Attributes:
        kept: records that stayed.
        dropped: records that were removed.
        corrupt: lines that were not records, and were moved to `side_files`.
        side_files: ``<model>.jsonl.corrupt``, beside the log.
    """

    kept: int
    dropped: int
    corrupt: int
    side_files: tuple[Path, ...]


def merge(sources: Sequence[Path], out: Path) -> MergeReport:
    """Adds the records of `sources` to the logs under `out`, by target and log name, without duplicates.

    Everything is read and checked before anything is written, and each log is replaced as a whole.

    Args:
        sources: logs, or folders of logs.
        out: a folder of logs; created when missing.

    Raises:
        InputFileError: when a source is missing, or a line of a source or of `out` is corrupt.
        FormatVersionError: when a record is of another format version.
    """
    present = {record.to_line() for record in RecordStore(out).records()}
    read, new = 0, defaultdict[Path, list[str]](list)
    for path in [path for source in sources for path in _logs_of(source)]:
        for record in read_records(path):
            read += 1
            line = record.to_line()
            if line not in present:
                present.add(line)
                new[out / record.target_key / path.name].append(line)
    try:
        for path, lines in new.items():
            rewrite(path, partial(_with, lines))
    except OSError as error:
        raise InputFileError(f"{out}: cannot be written: {error.strerror}") from error
    return MergeReport(read, sum(len(lines) for lines in new.values()), tuple(new))


def prune(directory: Path, keep: int | None) -> PruneReport:
    """Keeps, for each workload, target, template version and processor, the records of the `keep` fastest configs.

    Args:
        directory: a folder of logs, or one log.
        keep: how many configs, at least 1; None keeps every record, so that only corrupt lines are removed.

    Raises:
        InputFileError: when `directory` does not exist or cannot be written.
        FormatVersionError: when a record is of another format version; nothing is changed then.
    """
    paths = [directory] if directory.is_file() else log_files(directory)
    records = [record for path in paths for record in _sort_out(path)[0]]
    slow = set() if keep is None else _slow(records, keep)
    counts: Counter[str] = Counter()
    side_files = []
    for path in paths:
        try:
            found = _prune_log(path, slow)
        except OSError as error:
            raise InputFileError(f"{path}: cannot be written: {error.strerror}") from error
        counts += found
        if found["corrupt"]:
            side_files.append(_side_file(path))
    return PruneReport(counts["kept"], counts["dropped"], counts["corrupt"], tuple(side_files))


def _logs_of(source: Path) -> list[Path]:
    """A source's logs: itself, or all logs anywhere inside it."""
    if not source.exists():
        raise InputFileError(f"{source}: no such file or folder; give a log, or a folder with logs in it")
    found = sorted(source.rglob("*.jsonl")) if source.is_dir() else [source]
    if not found:
        raise InputFileError(f"{source}: has no logs; give a log, or a folder with *.jsonl in it")
    return found


def _with(lines: list[str], log: Path) -> list[str]:
    return [*(record.to_line() for record in read_records(log)), *lines]


def _slow(records: Iterable[Record], keep: int) -> set[str]:
    """Lines of the records that failed, or whose config is not among the `keep` fastest."""
    groups = defaultdict[tuple[str, str, str, int, str], list[Record]](list)
    for record in records:
        key = (record.workload_key, record.target_key, record.template, record.template_version, record.cpu)
        groups[key].append(record)
    slow: set[str] = set()
    for group in groups.values():
        kept = {config_key(record.config) for record in ranked(group, keep)}
        slow.update(record.to_line() for record in group if config_key(record.config) not in kept)
    return slow


def _prune_log(path: Path, slow: set[str]) -> Counter[str]:
    """Rewrites one log without `slow` and corrupt lines; returns how many were kept, dropped and corrupt."""
    counts: Counter[str] = Counter()

    def change(log: Path) -> list[str]:
        records, corrupt = _sort_out(log)
        lines = [record.to_line() for record in records]
        kept = [line for line in lines if line not in slow]
        if corrupt:
            with _side_file(log).open("ab") as file:
                file.writelines(line + b"\n" for line in corrupt)
        counts.update(kept=len(kept), dropped=len(lines) - len(kept), corrupt=len(corrupt))
        return kept

    rewrite(path, change)
    return counts


def _sort_out(path: Path) -> tuple[list[Record], list[bytes]]:
    """The records of a log, and the lines that are not records."""
    records: list[Record] = []
    corrupt: list[bytes] = []
    for number, line in read_lines(path):
        try:
            records.append(parse_line(line, f"{path}:{number}"))
        except FormatVersionError:
            raise
        except InputFileError:
            corrupt.append(line)
    return records, corrupt


def _side_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.corrupt")
