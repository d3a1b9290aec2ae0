"""Options that several jobs share: the target, the tuning records, the number of threads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tvmopt.pipeline.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from tvmopt.pipeline.records.lookup import Records
    from tvmopt.schedules.target import Target

LOGS = Path("tuning_logs")
"""The default folder of tuning records."""

_READABLE = "records"
"""The kind of entries in the cache that say that a folder's records were read without an error."""


def resolve_target(text: str, threads: int | None = None, strict_nan: bool = False) -> Target:
    """The target that `text` names, for `threads` threads; `strict_nan` as in `Target`.

    Raises:
        UsageError: when there is no such target; suggests the nearest names.
    """
    from tvmopt.schedules.target import TARGETS, parse_target

    try:
        return replace(parse_target(text, threads), strict_nan=strict_nan)
    except ValueError as error:
        explained = text in TARGETS or text.lstrip().startswith(("{", "cuda"))
        raise UsageError(str(error) if explained else did_you_mean("target", text, TARGETS)) from None


def log_folders(logs: Path) -> tuple[Path, ...]:
    """The user's folder of records, which need not exist, then the folder shipped with tvmopt."""
    from tvmopt.pipeline.support.shipped import shipped

    return tuple(dict.fromkeys(folder.resolve() for folder in (logs, shipped("tuning_logs"))))


def open_records(logs: Path) -> Records:
    """The records under `logs`, then the shipped ones.

    Args:
        logs: the user's folder, which need not exist.

    Raises:
        InputFileError: when a line of the user's records is corrupt.
    """
    from tvmopt.pipeline.records.lookup import FirstMatch
    from tvmopt.pipeline.records.store import RecordStore
    from tvmopt.pipeline.support.cache import digest, environment, open_cache

    stores = tuple(RecordStore(folder) for folder in log_folders(logs))
    cache = open_cache()
    key = digest(environment(), stores[0].digest())
    if cache.get(_READABLE, key) is None:
        stores[0].records()
        cache.put(_READABLE, key, b"")
    return FirstMatch(stores)
