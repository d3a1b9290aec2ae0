"""What the search asks of a measurer, and what it asks of a template."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.types import Task
from schedules.space import Config, ConfigSpace
from schedules.target import Target
from schedules.workload import Workload


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of measuring one config.

    Attributes:
        config: what was measured.
        status: ``ok``, ``wrong``, ``compile_error``, ``timeout`` or ``crash``.
        latency_s: raw samples in seconds; empty unless the status is ``ok``.
        error: the message, one line, if not ok.
        cost_s: wall time that the trial took.
    """

    config: Config
    status: str
    latency_s: tuple[float, ...]
    error: str
    cost_s: float


class Measurer(Protocol):
    """Builds, checks and times configs of a task."""

    def measure(self, task: Task, configs: Sequence[Config]) -> Iterator[Trial]:
        """Yields one trial for each config as results arrive, in any order.

        The caller may close the iterator early; what is not yielded by then is dropped.
        """
        ...

    def close(self) -> None:
        """Ends worker processes; the measurer cannot be used afterwards."""
        ...


class TunableTemplate(Protocol):
    """What the search needs of a template of `schedules.registry`."""

    @property
    def name(self) -> str:
        """Names the template in records."""
        ...

    @property
    def version(self) -> int:
        """Changes whenever a config comes to mean another kernel."""
        ...

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """All configs for a workload."""
        ...

    def default(self, workload: Workload, target: Target) -> Config:
        """The config to use with no records, from the target's facts."""
        ...

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Derived numbers for the cost model; as many for every workload of the template."""
        ...

    def flops(self, workload: Workload) -> int:
        """Floating-point operations of one run."""
        ...


TemplateOf = Callable[[Workload, Target], TunableTemplate]
"""Chooses the template for a workload on a target."""


def registered_template(workload: Workload, target: Target) -> TunableTemplate:
    """The template that `schedules.registry` has; imports TVM."""
    from schedules.registry import template_for

    return template_for(workload, target)
