"""Chooses the best of several records of one task."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence

from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.records.record import (
    Record,
)
from tvmopt.schedules.space import Config, config_key

CLEARLY = 1.05
"""A config replaces the default only if the default takes at least this many times as long; smaller gains of isolated
kernels often vanish inside a model."""


def fastest(records: Sequence[Record], cpu: str | None = None, default: Config | None = None) -> Record | None:
    """A record of the config with the least median latency, among records of one workload, target and template version.

    A config that was measured several times counts with the median of all its samples, so that one lucky run does not
    win; its last record is returned. Latencies of different processors are never compared: those of `cpu` decide if
    there are any, otherwise those of the processor with the most records. If some were timed inside a model, only these
    decide.

    Args:
        records: may include failed ones.
        cpu: the processor whose latencies decide; None for this machine's.
        default: a config that wins unless the fastest is `CLEARLY` faster; not favoured among records timed in a model.

    Returns:
        None when no trial succeeded.
    """
    successes = [record for record in records if record.latency_s]
    if not successes:
        return None
    processors = [record.cpu for record in successes]
    wanted = cpu or LOCAL.facts().cpu
    judge = wanted if wanted in processors else statistics.mode(processors)
    last = {}
    judged = [record for record in successes if record.cpu == judge]
    inside = [record for record in judged if record.in_model]
    for record in inside or judged:
        last[config_key(record.config)] = record
    medians = _medians(inside or judged)
    best = min(medians, key=medians.__getitem__)
    if default is None or inside:
        return last[best]
    known = config_key(default)
    stays = known in medians and medians[known] < CLEARLY * medians[best]
    return last[known if stays else best]


def gain(records: Sequence[Record], best: Record, default: Config) -> float | None:
    """How much faster `best` is than the default, as a logarithm; None if the default was not measured beside it.

    Args:
        records: those among which `fastest` found it.
        best: the record.
        default: the default's config.
    """
    beside = [r for r in records if r.latency_s and (r.cpu, r.in_model) == (best.cpu, best.in_model)]
    medians = _medians(beside)
    known, own = config_key(default), config_key(best.config)
    return math.log(medians[known] / medians[own]) if known in medians else None


def _medians(records: Sequence[Record]) -> dict[tuple[tuple[str, int], ...], float]:
    """For each config the median of all its samples, in seconds."""
    samples = defaultdict[tuple[tuple[str, int], ...], list[float]](list)
    for record in records:
        samples[config_key(record.config)] += record.latency_s
    return {key: statistics.median(latencies) for key, latencies in samples.items()}


def ranked(records: Sequence[Record], count: int) -> list[Record]:
    """The record that `fastest` chooses of each of the `count` fastest configs, the fastest first."""
    chosen: list[Record] = []
    rest = list(records)
    while len(chosen) < count and (best := fastest(rest)) is not None:
        chosen.append(best)
        rest = [record for record in rest if config_key(record.config) != config_key(best.config)]
    return chosen
