"""Which tuning records a command uses: the user's first, then those that come with tvmopt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tvmopt.pipeline.records.lookup import Records


def open_records(logs: Path) -> Records:
    """The records under `logs`, and behind them the shipped ones.

    Args:
        logs: the user's folder; need not exist.

    Raises:
        InputFileError: when a line of the user's records is corrupt.
    """
    from tvmopt.pipeline.records.lookup import FirstMatch
    from tvmopt.pipeline.records.store import RecordStore
    from tvmopt.pipeline.support.shipped import shipped

    folders = [logs, shipped("tuning_logs")]
    distinct = dict.fromkeys(folder.resolve() for folder in folders)
    stores = tuple(RecordStore(folder) for folder in distinct)
    stores[0].records()
    return FirstMatch(stores)
