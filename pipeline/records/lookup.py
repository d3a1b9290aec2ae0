"""Looks up records: in one store, or in several, of which the first with a match decides."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.records.ranking import fastest, gain
from tvmopt.pipeline.records.record import Record
from tvmopt.schedules.registry import BoundKernel, EstimatingTemplate
from tvmopt.schedules.space import Config, config_key

WORTH = 0.03
"""The least gain, as a logarithm: samples of the same kernel differ by as much from one run of a model to the next."""


class Records(Protocol):
    """Where compilation looks for records; a `pipeline.records.store.RecordStore` is one."""

    def digest(self) -> str:
        """A hash of all records; nothing is parsed."""

    def history(self, workload_key: str, target_key: str, template: str, template_version: int) -> Sequence[Record]:
        """The records of exactly this workload, target and template version, failed ones too."""

    def groups(self, template: str, template_version: int) -> Iterable[Sequence[Record]]:
        """The records of each workload and target that were made with one template version, failed ones too."""


@dataclass(frozen=True, slots=True)
class FirstMatch:
    """Several stores: the first with a matching record decides."""

    stores: tuple[Records, ...]

    def digest(self) -> str:
        """A hash of the records of all stores."""
        return " ".join(store.digest() for store in self.stores)

    def history(self, workload_key: str, target_key: str, template: str, template_version: int) -> Sequence[Record]:
        """The records of the first store that has a successful one; none when no store has."""
        found = (store.history(workload_key, target_key, template, template_version) for store in self.stores)
        return next((records for records in found if any(record.latency_s for record in records)), ())

    def groups(self, template: str, template_version: int) -> Iterable[Sequence[Record]]:
        """The groups of all stores."""
        return (group for store in self.stores for group in store.groups(template, template_version))


def applicable(records: Records, kernel: BoundKernel) -> Record | None:
    """The record whose config `kernel` is built with, or None.

    It is the fastest, with the template's default favoured (`pipeline.records.ranking.fastest`); None if its config is
    no longer in the template's space, or if the template's estimate speaks against it and nothing that was measured
    outweighs that. Times inside a model on this processor are not doubted.
    """
    template = kernel.template
    history = records.history(kernel.key, kernel.target.key, template.name, template.version)
    if kernel.target.strict_nan:  # the records of algorithms that it excludes stand beside the others
        history = [record for record in history if kernel.space.contains(record.config)]
    record = fastest(history, default=kernel.default) if history else None
    if record is None or not kernel.space.contains(record.config):
        return None
    return record if _convinces(record, history, kernel) else None


def slower(kernel: BoundKernel, config: Config) -> float:
    """How much slower a config is than the default by the template's estimate, as a logarithm; else 0."""
    template, workload, target = kernel.template, kernel.workload, kernel.target
    if not isinstance(template, EstimatingTemplate):
        return 0.0
    ratio = template.cycles(workload, target, config) / template.cycles(workload, target, kernel.default)
    return max(0.0, math.log(ratio))


def _convinces(record: Record, history: Sequence[Record], kernel: BoundKernel) -> bool:
    """Whether a record's config should replace the default here.

    Another processor's caches held weights that come from memory here, a kernel that ran alone found them in cache,
    and the default may be newer than the records. In each case the template's estimate, which knows this target's
    caches, counts against the gain that was measured; where the default was not measured, against none.
    """
    here = record.cpu == LOCAL.facts().cpu
    if config_key(record.config) == config_key(kernel.default) or (here and record.in_model):
        return True
    gained = gain(history, record, kernel.default)
    against = slower(kernel, record.config)
    if gained is None:
        return against <= 0.0
    return gained > against + (0.0 if here else WORTH)
