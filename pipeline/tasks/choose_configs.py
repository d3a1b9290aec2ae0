"""Which config each kernel of a model is built with, and why: a record, a transfer, or the template's default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tvmopt.pipeline.records.lookup import Records, applicable
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
    tasks: Sequence[Task], target: Target, records: Records | None, transfer: bool = True
) -> tuple[TaskChoice, ...]:
    """For each task the best record that matches it exactly, else what related records suggest, else the default.

    `pipeline.records.lookup.applicable` decides which record applies.

    Args:
        tasks: the kernels.
        target: what they are compiled for.
        records: tuning records; None leaves the defaults.
        transfer: whether related records may suggest a config (`pipeline.records.predict`).
    """
    from tvmopt.pipeline.records.predict import Predictor

    predictor = Predictor(records, target) if records is not None and transfer else None
    choices = []
    for task in tasks:
        kernel = kernel_for(task.workload, target)
        record = None if records is None else applicable(records, kernel)
        if record is not None:
            told = kernel.algorithm(record.config)
            choices.append(TaskChoice(task, record.config, *told, "record", float(np.median(record.latency_s))))
            continue
        default = kernel.default
        predicted = predictor.predict(task.workload, kernel.template, default) if predictor is not None else None
        config = default if predicted is None else predicted.config
        told = kernel.algorithm(config)
        choices.append(TaskChoice(task, config, *told, "default" if predicted is None else "transfer", None))
    return tuple(choices)
