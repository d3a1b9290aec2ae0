"""Looks up records: in one store, or in several, of which the first with a match decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tvmopt.pipeline.records.ranking import fastest
from tvmopt.pipeline.records.record import Record
from tvmopt.schedules.registry import BoundKernel


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
    no longer in the template's space.
    """
    template = kernel.template
    history = records.history(kernel.key, kernel.target.key, template.name, template.version)
    if kernel.target.strict_nan:  # the records of algorithms that it excludes stand beside the others
        history = [record for record in history if kernel.space.contains(record.config)]
    record = fastest(history, default=kernel.default) if history else None
    return record if record is not None and kernel.space.contains(record.config) else None
