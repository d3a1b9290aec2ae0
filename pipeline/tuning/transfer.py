"""What the records of other tasks can teach the search of this one. Nothing here is ever applied as it is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.records import Record
from schedules.target import Target
from schedules.workload import Workload


@dataclass(frozen=True, slots=True)
class Relative:
    """The records of one related workload on one machine: their latencies compare with each other only.

    Attributes:
        distance: how unlike this workload and target they are, 0 for alike; see `distance`.
        records: the successful ones, in the store's order.
    """

    distance: float
    records: tuple[Record, ...]


def nearest(records: Iterable[Record], workload: Workload, target: Target, version: tuple[str, int]) -> list[Relative]:
    """Groups of records to learn from, nearest first.

    They are of the same operator, dtypes and template version, on the same architecture and instruction set, but of
    other shapes, with another epilogue, for another number of threads, or from another processor.

    Args:
        records: where to look.
        workload: the workload to be tuned.
        target: the target to be tuned for.
        version: the template's name and version.
    """
    groups: dict[tuple[str, str, str], list[Record]] = {}
    keys: dict[int, str] = {}
    for record in records:
        if (record.template, record.template_version) == version and record.latency_s:
            key = keys.setdefault(id(record.workload), record.workload.key)
            groups.setdefault((key, record.target_key, record.cpu), []).append(record)
    relatives = []
    for group in groups.values():
        apart = distance(group[0], workload, target)
        if apart is not None:
            relatives.append(Relative(apart, tuple(group)))
    return sorted(relatives, key=lambda relative: relative.distance)


def distance(record: Record, workload: Workload, target: Target) -> float | None:
    """How unlike a record's workload and target are to these; None where nothing carries over.

    Doubling one dimension of a tensor counts 1, as does doubling the threads or another value of an attribute.
    """
    other = record.workload
    if (record.target.get("arch"), record.target.get("isa")) != (target.arch, target.isa):
        return None
    if (other.op, other.inputs[0].dtype) != (workload.op, workload.inputs[0].dtype):
        return None
    apart = 0.25 * (other.epilogue != workload.epilogue) + abs(math.log2(_threads(record.target) / target.threads))
    for theirs, ours in [*zip(other.inputs[:2], workload.inputs[:2], strict=False), (other.output, workload.output)]:
        if len(theirs.shape) != len(ours.shape):
            return None
        apart += sum(abs(math.log2(a / b)) for a, b in zip(theirs.shape, ours.shape, strict=True))
        apart += 0.5 * (theirs.block != ours.block)
    return apart + len(set(other.attrs) ^ set(workload.attrs)) / 2


def _threads(facts: Any) -> int:
    threads = facts.get("threads")
    return threads if isinstance(threads, int) and threads > 0 else 1
