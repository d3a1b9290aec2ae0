"""Groups measurement files by machine, since only files of one machine are comparable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvmopt.benchmarks.machine.environment import MACHINE_FIELDS, SOFTWARE_FIELDS, differing_fields
from tvmopt.benchmarks.measurements.types import Comparison


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine and the comparisons made on it.

    Attributes:
        label: its processor, cores and operating system in a few words.
        comparisons: in the order given.
        software: the software fields in which the comparisons differ.
    """

    label: str
    comparisons: tuple[Comparison, ...]
    software: tuple[str, ...]


def group_by_machine(comparisons: Sequence[Comparison]) -> list[Machine]:
    """The comparisons by machine, machines in the order of their first comparison."""
    groups: list[list[Comparison]] = []
    for comparison in comparisons:
        for group in groups:
            if not differing_fields(group[0].environment, comparison.environment, MACHINE_FIELDS):
                group.append(comparison)
                break
        else:
            groups.append([comparison])
    return [Machine(_label(group[0]), tuple(group), _software(group)) for group in groups]


def unlike_warning(machines: Sequence[Machine]) -> str | None:
    """The warning for more than one machine; None for one."""
    if len(machines) < 2:
        return None
    first = machines[0].comparisons[0].environment
    fields: list[str] = []
    for machine in machines[1:]:
        fields += differing_fields(first, machine.comparisons[0].environment, MACHINE_FIELDS)
    names = ", ".join(field.removesuffix("_bytes").removesuffix("_gib") for field in dict.fromkeys(fields))
    return (
        f"These files come from {len(machines)} different machines (they differ in: {names}). Latencies of different "
        "machines say nothing about runtimes, so each machine is shown separately and no comparison spans them."
    )


def _label(comparison: Comparison) -> str:
    environment = comparison.environment
    return f"{environment['cpu']}, {environment.get('cores')} cores, {environment['os']}"


def _software(group: Sequence[Comparison]) -> tuple[str, ...]:
    fields: dict[str, None] = {}
    for comparison in group[1:]:
        fields |= dict.fromkeys(differing_fields(group[0].environment, comparison.environment, SOFTWARE_FIELDS))
    return tuple(fields)
