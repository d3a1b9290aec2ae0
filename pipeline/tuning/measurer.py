"""The interface between the search and a measurer, and how the search finds a workload's template."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tvmopt.pipeline.records.record import Record
from tvmopt.pipeline.types import Task
from tvmopt.schedules.registry import Template
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of measuring one config.

    Attributes:
        config: what was measured.
        status: ``ok``, ``wrong``, ``compile_error``, ``timeout`` or ``crash``.
        latency_s: raw samples in seconds; empty unless the status is ``ok``.
        error: the message, one line, if not ok.
        cost_s: wall time of the trial.
    """

    config: Config
    status: str
    latency_s: tuple[float, ...]
    error: str
    cost_s: float

    @staticmethod
    def of(record: Record) -> Trial:
        """The trial that `record` describes; its cost was not recorded, so it is 0."""
        return Trial(record.config, record.status, record.latency_s, record.error, 0.0)


class Measurer(Protocol):
    """Builds, checks and times configs of a task.

    Attributes:
        cpu: name of the processor that runs them.
    """

    cpu: str

    def measure(self, task: Task, configs: Sequence[Config]) -> Iterator[Trial]:
        """Yields one trial for each config as results arrive, in any order.

        The caller may close the iterator early; trials not yielded by then are dropped.
        """
        ...

    def close(self) -> None:
        """Ends worker processes; the measurer cannot be used afterwards."""
        ...


TemplateOf = Callable[[Workload, Target], Template]
"""Chooses the template for a workload on a target, as `schedules.registry.template_for` does."""
