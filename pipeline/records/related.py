"""Records of related tasks, the most similar first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tvmopt.pipeline.records.record import Record
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.schedules.registry import Template
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class TransferQuery:
    """The task to tune, or to predict a config for.

    Attributes:
        workload: the workload.
        target: the target.
        template: its template.
        cpu: name of the processor that measures.
    """

    workload: Workload
    target: Target
    template: Template
    cpu: str


@dataclass(frozen=True, slots=True)
class Relative:
    """The successful records of one related workload on one machine: their latencies compare with each other only.

    Attributes:
        distance: how far they are from the subject; see `distance`.
        records: the records, in the store's order.
    """

    distance: float
    records: tuple[Record, ...]


def nearest(store: RecordStore, subject: TransferQuery) -> list[Relative]:
    """Records to learn from, the most similar first.

    They are of the same operator, dtype and template version, on the same architecture and instruction set, but of
    other shapes, with another epilogue, for another number of threads, or from another processor.
    """
    relatives = []
    for group in store.groups(subject.template.name, subject.template.version):
        apart = distance(group[0], subject)
        if apart is None:
            continue
        itself = (group[0].workload, group[0].target_key) == (subject.workload, subject.target.key)
        for cpu in dict.fromkeys(record.cpu for record in group):
            records = tuple(record for record in group if record.cpu == cpu and record.latency_s)
            if records and not (itself and cpu == subject.cpu):
                relatives.append(Relative(apart, records))
    return sorted(relatives, key=lambda relative: relative.distance)


def distance(record: Record, subject: TransferQuery) -> float | None:
    """How far a record's workload and target are from the subject's; None where nothing carries over.

    Doubling a dimension of a tensor counts 1, as does doubling the threads, or a different value of an attribute.
    """
    ours, theirs = subject.workload, record.workload
    if (record.target.get("arch"), record.target.get("isa")) != (subject.target.arch, subject.target.isa):
        return None
    if (theirs.op, theirs.output.dtype) != (ours.op, ours.output.dtype):
        return None
    apart = 0.25 * ((theirs.inner, theirs.epilogue) != (ours.inner, ours.epilogue))
    apart += len(set(theirs.attrs) ^ set(ours.attrs)) / 2
    apart += abs(math.log2(threads_of(record.target) / subject.target.threads))
    for other, own in [*zip(theirs.inputs[:2], ours.inputs[:2], strict=False), (theirs.output, ours.output)]:
        if len(other.shape) != len(own.shape):
            return None
        apart += sum(abs(math.log2(a / b)) for a, b in zip(other.shape, own.shape, strict=True))
        apart += 0.5 * (other.block != own.block)
    return apart


def evenly(items: list[Item], count: int) -> list[Item]:
    """At most `count` of `items`, spread evenly, including the first and the last."""
    if len(items) <= count:
        return items
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def threads_of(facts: Mapping[str, Any]) -> int:
    """The threads of a record's target; one where it does not say."""
    threads = facts.get("threads")
    return threads if isinstance(threads, int) and threads > 0 else 1
