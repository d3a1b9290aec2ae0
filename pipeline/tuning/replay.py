"""Replays recorded exhaustive tables instead of measuring, and compares tuners on them: needs no machine."""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.records.record import Record
from tvmopt.pipeline.records.store import read_records
from tvmopt.pipeline.tuning.candidates import Candidates
from tvmopt.pipeline.tuning.measurer import TemplateOf, Trial
from tvmopt.pipeline.tuning.tuners import make_tuner
from tvmopt.pipeline.tuning.tuners.base import Tuner
from tvmopt.pipeline.types import Task
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.space import Config, Knob, config_key
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

BATCH_SIZE = 8
"""Configs that a tuner proposes at a time when tuners are compared."""


@dataclass(frozen=True, slots=True)
class Table:
    """Every config of one task, measured.

    Attributes:
        name: the file's stem.
        workload: what was measured.
        candidates: the configs of the table.
        records: one record for each candidate, in the same order.
    """

    name: str
    workload: Workload
    candidates: Candidates
    records: tuple[Record, ...]

    @property
    def best_s(self) -> float:
        """The lowest median latency in seconds."""
        return min(record.median_s for record in self.records if record.median_s is not None)


def read_table(path: Path, target: Target, template_of: TemplateOf = template_for) -> Table:
    """The table of a log with one workload's records.

    Args:
        path: a log; when a config occurs twice, its last record counts.
        target: the target that was measured, for the template's default and features.
        template_of: chooses the template.

    Raises:
        InputFileError: when the log is corrupt, empty, or has several workloads or no successful record.
    """
    everything = tuple(read_records(path))
    workloads = {record.workload for record in everything if record.latency_s}
    if len(workloads) != 1 or any(record.workload not in workloads for record in everything):
        raise InputFileError(f"{path}: a table has successful records of one workload, got {len(workloads)} workloads")
    (workload,) = workloads
    by_config = {config_key(record.config): record for record in everything}
    records = tuple(by_config.values())
    template = template_of(workload, target)
    configs = tuple(record.config for record in records)
    names = list(configs[0])
    knobs = tuple(Knob(name, tuple(sorted({config[name] for config in configs}))) for name in names)
    default = config_key(template.default(workload, target))
    position = list(by_config).index(default) if default in by_config else None
    candidates = Candidates(configs, knobs, position, lambda config: template.features(workload, target, config))
    return Table(path.stem, workload, candidates, records)


class ReplayMeasurer:
    """A `Measurer` that looks results up; the trials cost nothing.

    Attributes:
        cpu: the processor that most records were measured on.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        """Takes records of any number of workloads; when a config occurs twice, its last record counts."""
        self.cpu = statistics.mode(record.cpu for record in records)
        self._trials = {(r.workload, config_key(r.config)): Trial.of(r) for r in records}

    def measure(self, task: Task, configs: Sequence[Config]) -> Iterator[Trial]:
        """The recorded results, in the order of `configs`.

        Raises:
            KeyError: when a config is not in the table.
        """
        for config in configs:
            yield self._trials[task.workload, config_key(config)]

    def close(self) -> None:
        """Does nothing: there are no processes."""


@dataclass(frozen=True, slots=True)
class TunerScore:
    """How near a tuner came to the best config of a table.

    Attributes:
        tuner: its name.
        table: the table's name.
        fractions: shares of the space measured.
        ratios: for each seed, best latency found / best of the table after each fraction; 1 is perfect.
    """

    tuner: str
    table: str
    fractions: tuple[float, ...]
    ratios: tuple[tuple[float, ...], ...]

    def median(self, fraction: float) -> float:
        """The median over seeds after one of `fractions`.

        Raises:
            ValueError: when it is not one of them.
        """
        column = self.fractions.index(fraction)
        return statistics.median(row[column] for row in self.ratios)


def compare_tuners(
    table: Table,
    tuners: Sequence[str],
    seeds: Sequence[int] = tuple(range(20)),
    fractions: tuple[float, ...] = (0.05, 0.1, 0.15, 0.25, 0.5),
    from_default: bool = False,
) -> dict[str, TunerScore]:
    """Replays a table with each tuner and seed, in batches of `BATCH_SIZE`.

    Args:
        table: an exhaustive table.
        tuners: names of `TUNERS`.
        seeds: one run each.
        fractions: shares of the space after which to compare, rounded down to whole trials, but at least one.
        from_default: whether tuners begin with the template's default, as in a real run. The default is often near
            the best, which leaves little difference between tuners, hence False.

    Returns:
        Each tuner's score, by its name.
    """
    candidates = table.candidates if from_default else dataclasses.replace(table.candidates, default=None)
    trials = {config_key(record.config): Trial.of(record) for record in table.records}
    counts = [max(1, int(fraction * len(candidates))) for fraction in fractions]
    scores = {}
    for name in tuners:
        rows = []
        for seed in seeds:
            best_s = _best_after_each(make_tuner(name, candidates, seed), trials, max(counts))
            rows.append(tuple(best_s[count - 1] / table.best_s for count in counts))
        scores[name] = TunerScore(name, table.name, fractions, tuple(rows))
    return scores


def _best_after_each(tuner: Tuner, trials: Mapping[tuple[tuple[str, int], ...], Trial], count: int) -> list[float]:
    """The lowest median latency in seconds after each of `count` trials or more; infinite before the first success."""
    found: list[float] = []
    while len(found) < count:
        batch = [trials[config_key(config)] for config in tuner.propose(BATCH_SIZE)]
        tuner.learn(batch)
        found += [statistics.median(trial.latency_s) if trial.latency_s else math.inf for trial in batch]
    return list(itertools.accumulate(found, min))
