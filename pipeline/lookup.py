"""Where records are looked up: one store, or several of which the first that has a match decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pipeline.records import Record
    from schedules.space import Config


class Records(Protocol):
    """Where compilation looks for the best record; a `pipeline.records.RecordStore` is one."""

    def best(
        self,
        workload_key: str,
        target_key: str,
        template: str,
        template_version: int,
        default: Config | None = None,
    ) -> Record | None:
        """The fastest record of exactly this workload, target and template version, or None.

        The record of `default` is it where no other is clearly faster (`pipeline.records.fastest`).
        """

    def groups(self, template: str, template_version: int) -> Iterable[Sequence[Record]]:
        """The records of each workload and target that were made with one template version, failed ones too."""


@dataclass(frozen=True, slots=True)
class FirstMatch:
    """Several stores: the first that has a matching record decides."""

    stores: tuple[Records, ...]

    def best(
        self,
        workload_key: str,
        target_key: str,
        template: str,
        template_version: int,
        default: Config | None = None,
    ) -> Record | None:
        """The first store's best record, or None when none has any."""
        found = (store.best(workload_key, target_key, template, template_version, default) for store in self.stores)
        return next((record for record in found if record is not None), None)

    def groups(self, template: str, template_version: int) -> Iterable[Sequence[Record]]:
        """The groups of all stores."""
        return (group for store in self.stores for group in store.groups(template, template_version))
