"""Explains why a workload's records apply or do not."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.records.lookup import applicable, slower
from tvmopt.pipeline.records.predict import Prediction, Predictor
from tvmopt.pipeline.records.record import Record, target_facts
from tvmopt.pipeline.records.related import TransferQuery, nearest
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.schedules.registry import BoundKernel, Template
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

_NO_CHOICE = "needs no record: the template has no choice here"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the records say about a workload.

    Attributes:
        workload: the workload.
        record: the record that applies, or None.
        predicted: without a record, what related records suggest; None when the default is used.
        reasons: a line for each group of records that says why it applies or not; one line when there are no records.
    """

    workload: Workload
    record: Record | None
    reasons: tuple[str, ...]
    predicted: Prediction | None = None


def explain(store: RecordStore, workload: Workload, target: Target, template: Template) -> Explanation:
    """Says of all records of a workload why they apply or do not.

    Args:
        store: the records.
        workload: the workload.
        target: what it would be compiled for.
        template: the workload's template on the target.

    Raises:
        InputFileError: when the store has a corrupt line.
    """
    groups = defaultdict[tuple[str, str, int], list[Record]](list)
    for record in store.records():
        if record.workload == workload:
            groups[record.target_key, record.template, record.template_version].append(record)
    kernel = BoundKernel(template, workload, target)
    best = applicable(store, kernel)
    outdated = store.best(workload.key, target.key, template.name, template.version) if best is None else None
    reasons = []
    for group in groups.values():
        reason = _mismatch(group[0], target, template) or _failures(group)
        if reason is None and best is not None:
            reason = _applies(best, len(group))
        elif reason is None and outdated is not None:
            reason = _outdated(outdated, kernel)
        reasons.append(f"{group[0].target_key}, {_count(group)}: {reason}")
    if not reasons:
        reasons = [_none(store, workload, target, template)] if kernel.has_knobs else [_NO_CHOICE]
    predicted = None
    if best is None:
        predicted = Predictor(store, target).predict(workload, template, template.default(workload, target))
    if predicted is not None:
        reasons.append(_transfers(predicted))
    return Explanation(workload, best, tuple(reasons), predicted)


def _mismatch(record: Record, target: Target, template: Template) -> str | None:
    """How the record's target or template differs from the wanted one; None when neither does."""
    if record.target_key != target.key:
        differences = _differences(record.target, target_facts(target))
        return f"another target: {differences or f'{record.target_key}, here {target.key}'}"
    if record.template != template.name:
        return f"made with template {record.template}, but {template.name} now computes this workload"
    if record.template_version != template.version:
        return f"made with {template.name} version {record.template_version}, this release has {template.version}"
    return None


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    names = {"arch": "architecture", "isa": "instruction set", "threads": "threads"}
    parts = [f"{word} {theirs[n]}, here {ours[n]}" for n, word in names.items() if n in theirs and theirs[n] != ours[n]]
    return "; ".join(parts)


def _failures(group: Sequence[Record]) -> str | None:
    """How the trials ended, if none succeeded; else None."""
    if any(record.latency_s for record in group):
        return None
    counts = Counter(record.status for record in group)
    return "no trial succeeded: " + ", ".join(f"{count} {status}" for status, count in counts.items())


def _outdated(best: Record, kernel: BoundKernel) -> str:
    """Why the fastest record does not apply."""
    if not kernel.space.contains(best.config):
        return f"config {_config(best.config)} is no longer in the space of {kernel.template.name}; tune again"
    worse = f"by the template's estimate {math.exp(slower(kernel, best.config)):.2f} times as slow as the default here"
    return f"config {_config(best.config)} is {worse}, and its records do not outweigh that; tune again"


def _applies(best: Record, count: int) -> str:
    where = "" if best.cpu == LOCAL.facts().cpu else f", measured on {best.cpu}"
    return f"applies, {(best.median_s or 0.0) * 1e3:.4g} ms with {_config(best.config)}{where}"


def _transfers(predicted: Prediction) -> str:
    like = f"{predicted.relatives} like it, the nearest {predicted.nearest}"
    return (
        f"by transfer: {_config(predicted.config)}, expected {predicted.speedup:.2f}× the default's speed, from {like}"
    )


def _none(store: RecordStore, workload: Workload, target: Target, template: Template) -> str:
    relatives = nearest(store, TransferQuery(workload, target, template, LOCAL.facts().cpu))
    if not relatives:
        return "no record of this workload, nor of one like it"
    like = relatives[0].records[0].workload_key
    return f"no record of this workload; a search would learn from {len(relatives)} like it, the nearest {like}"


def _count(group: Sequence[Record]) -> str:
    return "1 record" if len(group) == 1 else f"{len(group)} records"


def _config(config: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in config.items()) or "no knobs"
