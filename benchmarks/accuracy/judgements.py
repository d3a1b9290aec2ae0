"""Judgements of one runtime on some samples, and where they are kept between runs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tvmopt.pipeline.support.cache import Cache
from tvmopt.pipeline.support.npz import read_npz, write_npz

KIND = "evaluations"
"""The kind of their entries in the cache."""


@dataclass(frozen=True, slots=True)
class Judgements:
    """What a runtime's outputs for some samples are worth.

    Attributes:
        tables: the metric's judgements, by the number of the sample.
        skipped: why a sample is missing, by its number.
    """

    tables: Mapping[int, np.ndarray]
    skipped: Mapping[int, str]


def keep(cache: Cache, key: str, judgements: Judgements) -> None:
    """Keeps `judgements` under `key`, if the cache can be written."""
    tables = list(judgements.tables.values())
    width = tables[0].shape[1] if tables else 0
    file = io.BytesIO()
    write_npz(
        file,
        {
            "places": np.array(list(judgements.tables), np.int64),
            "counts": np.array([len(table) for table in tables], np.int64),
            "rows": np.concatenate([*tables, np.zeros((0, width))]),
            "skipped": np.array(list(judgements.skipped), np.int64),
            "reasons": np.array(list(judgements.skipped.values()), np.str_),
        },
    )
    cache.put(KIND, key, file.getvalue())


def recall(cache: Cache, key: str) -> Judgements | None:
    """The judgements that were kept under `key`; None when there are none."""
    content = cache.get(KIND, key)
    if content is None:
        return None
    try:
        arrays = read_npz(io.BytesIO(content))
        ends = np.cumsum(arrays["counts"])
        tables = np.split(arrays["rows"], ends[:-1]) if len(ends) else []
        places = [int(place) for place in arrays["places"]]
        skipped = zip(map(int, arrays["skipped"]), map(str, arrays["reasons"]), strict=True)
        return Judgements(dict(zip(places, tables, strict=True)), dict(skipped))
    except (KeyError, ValueError):
        return None
