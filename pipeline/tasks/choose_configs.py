"""Which config each kernel of a model is built with, and why: a record, a transfer, or the template's default."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.records.lookup import Records, applicable
from tvmopt.pipeline.support.cache import Cache, digest, environment
from tvmopt.pipeline.types import Task
from tvmopt.schedules.registry import kernel_for
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target


@dataclass(frozen=True, slots=True)
class TaskChoice:
    """Which config a task is built with, and why.

    Attributes:
        task: the kernel.
        config: its knobs' values.
        algorithm, knobs: the algorithm's name, and the knobs that this algorithm has.
        origin: a matching record; a transfer, which is a prediction from records of related workloads; or the
            template's default.
        latency_s: median latency of the record, in seconds; None where there is none.
    """

    task: Task
    config: Config
    algorithm: str
    knobs: Config
    origin: Literal["record", "transfer", "default"]
    latency_s: float | None


def choose_configs(
    tasks: Sequence[Task],
    target: Target,
    records: Records | None,
    transfer: bool = True,
    cache: Cache | None = None,
) -> tuple[TaskChoice, ...]:
    """For each task the best record that matches it exactly, else what related records suggest, else the default.

    `pipeline.records.lookup.applicable` decides which record applies.

    Args:
        tasks: the kernels.
        target: what they are compiled for.
        records: tuning records; None leaves the defaults.
        transfer: whether related records may suggest a config (`pipeline.records.predict`).
        cache: has what was chosen before, so that the records need not be read again.
    """
    if records is None:
        return tuple(_chosen(task, target, _Choice("default", None, None)) for task in tasks)
    chooser = _Chooser(target, records, transfer)
    if cache is None:
        return tuple(_chosen(task, target, chooser.choose(task)) for task in tasks)
    depends = (environment(), records.digest(), target.to_json(), transfer, LOCAL.facts().cpu)
    choices = []
    for task in tasks:
        key = digest(depends, task.workload.to_json())
        found = cache.get(_KIND, key)
        if found is None:
            choice = chooser.choose(task)
            cache.put(_KIND, key, json.dumps(choice).encode())
        else:
            choice = _Choice(*json.loads(found))
        choices.append(_chosen(task, target, choice))
    return tuple(choices)


_KIND = "choice"
"""The kind of entries in the cache."""


class _Choice(NamedTuple):
    """What was chosen: the origin, the config unless it is the default, and the record's latency."""

    origin: Literal["record", "transfer", "default"]
    config: Config | None
    latency_s: float | None


class _Chooser:
    """Chooses from records, which are read when the first task asks for them."""

    def __init__(self, target: Target, records: Records, transfer: bool) -> None:
        from tvmopt.pipeline.records.predict import Predictor

        self._target, self._records = target, records
        self._predictor = Predictor(records, target) if transfer else None

    def choose(self, task: Task) -> _Choice:
        kernel = kernel_for(task.workload, self._target)
        record = applicable(self._records, kernel)
        if record is not None:
            return _Choice("record", dict(record.config), float(np.median(record.latency_s)))
        if self._predictor is not None:
            predicted = self._predictor.predict(task.workload, kernel.template, kernel.default)
            if predicted is not None:
                return _Choice("transfer", dict(predicted.config), None)
        return _Choice("default", None, None)


def _chosen(task: Task, target: Target, choice: _Choice) -> TaskChoice:
    kernel = kernel_for(task.workload, target)
    config = kernel.default if choice.config is None else choice.config
    return TaskChoice(task, config, *kernel.algorithm(config), choice.origin, choice.latency_s)
