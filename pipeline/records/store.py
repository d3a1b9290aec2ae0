"""Stores records of what trials measured, filed by workload and target in append-only JSON lines.

A record names its workload, its target and its template's version. Where one of them differs, it is never applied; it
may guide the search (`pipeline.tuning.related_samples`). The format is described in tuning_logs/README.md.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.records.journal import append_line, read_lines
from tvmopt.pipeline.records.ranking import fastest
from tvmopt.pipeline.records.record import (
    Record,
    parse_line,
)


class RecordStore:
    """The records under a folder, ``<folder>/<target key>/<name>.jsonl``.

    All files are read on first use. Records that this object appends are found at once; those that other processes
    append afterwards are not.
    """

    def __init__(self, directory: Path, name: str = "records") -> None:
        """Opens a store; neither reads nor writes yet.

        Args:
            directory: the folder; need not exist, then the store is empty.
            name: stem of the files that records are appended to, such as the model's name; characters other than
                letters, digits and ._+- become underscores.
        """
        self.directory = directory
        self.name = re.sub(r"[^\w.+-]", "_", name)[:128].lstrip(".") or "records"
        self._records: list[Record] | None = None
        self._index: dict[tuple[str, str, str, int], list[Record]] = {}

    def log(self, target_key: str) -> Path:
        """Where records of a target are appended.

        Args:
            target_key: `Target.key`.

        Returns:
            The file's path; it need not exist.
        """
        return self.directory / target_key / f"{self.name}.jsonl"

    def append(self, record: Record) -> None:
        """Files one record; it is on disk when this returns.

        Args:
            record: what a trial measured.

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

    def digest(self) -> str:
        """A hash of all that the files hold now; nothing is parsed."""
        content = hashlib.sha256()
        for path in log_files(self.directory) if self.directory.exists() else ():
            content.update(repr((path.parent.name, path.name, path.stat().st_size)).encode())
            content.update(path.read_bytes())
        return content.hexdigest()

    def records(self) -> Sequence[Record]:
        """All records: files in the order of their names, lines in file order.

        Raises:
            InputFileError: naming file and line, when a line is corrupt or of an unknown format version.
        """
        return tuple(self._loaded())

    def history(self, workload_key: str, target_key: str, template: str, template_version: int) -> Sequence[Record]:
        """All records of one workload, target and template version.

        Args:
            workload_key: `Workload.key`.
            target_key: `Target.key`.
            template: the template's name.
            template_version: the template's version.

        Returns:
            The records in file order, failed ones too.

        Raises:
            InputFileError: as `records`.
        """
        self._loaded()
        return tuple(self._index.get((workload_key, target_key, template, template_version), ()))

    def groups(self, template: str, template_version: int) -> Iterator[Sequence[Record]]:
        """The records of each workload and target that were made with one template version, failed ones too.

        Args:
            template: the template's name.
            template_version: the template's version.

        Returns:
            One group for each workload and target, without records that were timed inside a model: predictions use
            isolated timings only.

        Raises:
            InputFileError: as `records`.
        """
        self._loaded()
        wanted = (template, template_version)
        for key, group in self._index.items():
            if key[2:] == wanted:
                yield tuple(record for record in group if not record.in_model)

    def best(
        self, workload_key: str, target_key: str, template: str, template_version: int, cpu: str | None = None
    ) -> Record | None:
        """The fastest record of exactly this workload, target and template version.

        Args:
            workload_key: `Workload.key`.
            target_key: `Target.key`.
            template: the template's name.
            template_version: the template's version.
            cpu: the processor whose latencies decide; None for this machine's.

        Returns:
            The record that `pipeline.records.ranking.fastest` chooses; None when no trial succeeded.

        Raises:
            InputFileError: as `records`.
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
    """The records of one log; skips a torn last line, which kill -9 may leave.

    Raises:
        InputFileError: naming file and line, when a line is corrupt.
        FormatVersionError: when a line is of another format version.
    """
    try:
        for number, line in read_lines(path):
            yield parse_line(line, f"{path}:{number}")
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}") from error
