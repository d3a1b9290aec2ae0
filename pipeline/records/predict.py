"""Predicts a config for an unmeasured task from the records of related tasks.

A Gaussian process (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, chapter 2) on the logarithm
of latency learns how much faster a config is than a task's default: configs with similar knobs and features, of similar
workloads, have similar gains. Each relative has its own unknown level, so that only its configs are compared with each
other, and it does not matter which of them were kept. The process also gives its uncertainty; a config is used only if
its gain over the default exceeds that, and what the template's own estimate says against it: records come from other
networks and, under the same name, from other machines, whose caches held weights that come from memory here. The
ranking trees of `tvmopt.pipeline.tuning.cost_model` give no uncertainty:
replayed on networks left out of their training, their first choice was often slower than the default (see
benchmarks/NOTES.md).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.records.lookup import WORTH
from tvmopt.pipeline.records.record import Record
from tvmopt.pipeline.records.related import TransferQuery, distance, evenly, threads_of
from tvmopt.schedules.operators import operator_of
from tvmopt.schedules.registry import EstimatingTemplate, Template
from tvmopt.schedules.space import Config, config_key
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

Vector = npt.NDArray[np.float64]

_RELATIVES = 24
_CONFIGS_EACH = 16
_FASTEST_EACH = 3
_OTHER_CPU = 1.0
"""Added to the distance of records from another processor."""

_GAIN = 0.2
"""How much configs differ, as a logarithm, before anything is known about them."""
_NOISE = 0.05
"""How much a config differs from one measurement to the next, or from what the process can express."""
_LEVEL = 1.0
_SLOWEST = 0.5
"""Larger slowdowns, as logarithms, are cut to this: how bad the worst configs are does not matter."""
_WORKLOAD_SCALE, _CONFIG_SCALE = 8.0, 0.7
_STILL = 1e-6
"""Standard deviations up to this are only rounding."""
_DOUBT = 2.0
"""How many standard deviations the gain must be above what it has to exceed."""


class Groups(Protocol):
    """Where related records come from; a `pipeline.records.store.RecordStore` is one."""

    def groups(self, template: str, template_version: int) -> Iterable[Sequence[Record]]:
        """The records of each workload and target that were made with one template version, failed ones too."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A config that is predicted to be faster than the default.

    Attributes:
        config: its knobs' values.
        speedup: the default's expected latency over its own.
        relatives: how many related workloads it was learned from.
        nearest: key of the most similar workload.
    """

    config: Config
    speedup: float
    relatives: int
    nearest: str


class Predictor:
    """Predicts configs for the tasks of one target; keeps the records that it reads from task to task.

    Args:
        records: records, of any targets.
        target: the target that is compiled for.
        cpu: name of the processor whose records are preferred; the default is this machine's.
    """

    def __init__(self, records: Groups, target: Target, cpu: str | None = None) -> None:
        self._records, self._target, self._cpu = records, target, cpu or LOCAL.facts().cpu
        self._known: dict[tuple[str, int], list[_Relative]] = {}

    def predict(self, workload: Workload, template: Template, default: Config) -> Prediction | None:
        """A config of the template's space that beats the default by more than speaks against it, or None.

        Args:
            workload: what the kernel computes; its own records on this target are not used.
            template: its template.
            default: its default config.
        """
        subject = TransferQuery(workload, self._target, template, self._cpu)
        relatives = self._nearest(subject)
        names = tuple(sorted({*default, *(name for relative in relatives for name in relative.configs[0])}))
        candidates = _candidates(subject, default, relatives)
        if not candidates:
            return None
        own = _Point(workload, self._target, template)
        gains, doubts = _gains(own, [default, *candidates], relatives, names)
        # Rounded, so that the order of additions does not decide.
        against = _slower(own, default, candidates)
        sure = np.round(gains - _DOUBT * doubts - against - WORTH, 6)
        best = int(np.argmax(sure))
        if sure[best] <= 0:
            return None
        return Prediction(candidates[best], math.exp(gains[best]), len(relatives), relatives[0].workload.key)

    def _nearest(self, subject: TransferQuery) -> list[_Relative]:
        """The relatives to learn from, the most similar first."""
        template = subject.template
        key = (template.name, template.version)
        if key not in self._known:
            groups = self._records.groups(*key)
            found = [_Relative.of(records, template, self._target) for group in groups for records in _by_cpu(group)]
            self._known[key] = [relative for relative in found if relative is not None]
        ranked = []
        for place, relative in enumerate(self._known[key]):
            apart = distance(relative.record, subject)
            itself = (relative.workload, relative.record.target_key) == (subject.workload, subject.target.key)
            if apart is not None and not itself:
                ranked.append((apart + _OTHER_CPU * (relative.record.cpu != self._cpu), place, relative))
        nearest = (relative for _, _, relative in sorted(ranked, key=lambda entry: entry[:2]))
        return list(itertools.islice((relative for relative in nearest if len(relative.configs) > 1), _RELATIVES))


@dataclass(frozen=True, slots=True)
class _Point:
    """Describes configs of one workload on one target as coordinates."""

    workload: Workload
    target: Target
    template: Template

    def place(self) -> Vector:
        """The workload's coordinates.

        Doubling a size is one step; doubling the threads, or a kernel or stride larger by one, is two.
        """
        tensors = (*self.workload.inputs[:1], self.workload.output)
        sizes = [math.log2(size) for tensor in tensors for size in tensor.shape]
        window = (
            self.workload.inputs[1].shape[2:] if operator_of(self.workload.op).convolution else self._attr("kernel")
        )
        doubled = (max(window, default=0), max(self._attr("strides"), default=1), math.log2(self.target.threads))
        rest = [*(2.0 * value for value in doubled), 0.5 * len(self.workload.inputs)]
        return np.array([*sizes, *rest])

    def _attr(self, name: str) -> tuple[int, ...]:
        """An attribute that is a tuple of sizes; empty if the workload has no such attribute."""
        value = dict(self.workload.attrs).get(name, ())
        return value if isinstance(value, tuple) else ()

    def configs(self, configs: Sequence[Config], names: Sequence[str]) -> Vector:
        """``(configs, coordinates)``: the knobs' logarithms, then the template's features."""
        rows = [
            [
                *(math.log2(1 + config.get(name, 0)) for name in names),
                *self.template.features(self.workload, self.target, config),
            ]
            for config in configs
        ]
        return np.array(rows, np.float64)


@dataclass(frozen=True)
class _Relative:
    """One processor's measurements of one workload on one target; configs from fast to slow.

    Attributes:
        record: one of its records, for the facts that all share.
        measured: successful records, one for each config.
        latencies: median latency of all samples of each config, in seconds.
        point: describes its configs.
    """

    record: Record
    measured: tuple[Record, ...]
    latencies: tuple[float, ...]
    point: _Point

    @staticmethod
    def of(records: Sequence[Record], template: Template, target: Target) -> _Relative | None:
        """The relative made of `records`; None when none of them succeeded."""
        samples: dict[tuple[tuple[str, int], ...], list[float]] = {}
        last = {}
        for record in records:
            if record.latency_s:
                samples.setdefault(config_key(record.config), []).extend(record.latency_s)
                last[config_key(record.config)] = record
        if not samples:
            return None
        medians = sorted((statistics.median(taken), key) for key, taken in samples.items())
        facts = records[0]
        point = _Point(facts.workload, dataclasses.replace(target, threads=threads_of(facts.target)), template)
        return _Relative(facts, tuple(last[key] for _, key in medians), tuple(median for median, _ in medians), point)

    @property
    def workload(self) -> Workload:
        return self.record.workload

    @cached_property
    def chosen(self) -> tuple[tuple[Config, float], ...]:
        """At most `_CONFIGS_EACH` configs of the template's space with their latencies, from fast to slow."""
        point = self.point
        if not point.template.accepts(point.workload, point.target):
            return ()
        space = point.template.space(point.workload, point.target)
        timed = zip(self.measured, self.latencies, strict=True)
        known = [(record.config, latency) for record, latency in timed if space.contains(record.config)]
        return tuple(evenly(known, _CONFIGS_EACH))

    @property
    def configs(self) -> tuple[Config, ...]:
        return tuple(config for config, _ in self.chosen)

    @cached_property
    def place(self) -> Vector:
        return self.point.place()

    def coordinates(self, names: tuple[str, ...]) -> Vector:
        """The coordinates of `configs`; cached."""
        if names not in self._coordinates:
            self._coordinates[names] = self.point.configs(self.configs, names)
        return self._coordinates[names]

    @cached_property
    def _coordinates(self) -> dict[tuple[str, ...], Vector]:
        return {}

    @cached_property
    def speeds(self) -> Vector:
        """Logarithms of the speeds of `configs`, minus their mean."""
        latencies = np.array([latency for _, latency in self.chosen])
        speeds = np.maximum(np.log(latencies.min() / latencies), -_SLOWEST)
        return np.asarray(speeds - speeds.mean(), np.float64)


def _by_cpu(group: Sequence[Record]) -> list[list[Record]]:
    """The records of a group by the processor that ran them."""
    parts: dict[str, list[Record]] = {}
    for record in group:
        parts.setdefault(record.cpu, []).append(record)
    return list(parts.values())


def _candidates(subject: TransferQuery, default: Config, relatives: Sequence[_Relative]) -> list[Config]:
    """The relatives' fastest configs: whole, the default with one of their knobs, or all of their knobs but one."""
    space = subject.template.space(subject.workload, subject.target)
    found: dict[tuple[tuple[str, int], ...], Config] = {}
    for relative in relatives:
        for fast in relative.configs[:_FASTEST_EACH]:
            whole = {name: fast.get(name, 0) for name in default}
            mixed = [{**default, name: whole[name]} for name in default]
            mixed += [{**whole, name: default[name]} for name in default]
            for config in (whole, *mixed):
                found.setdefault(config_key(config), config)
    found.pop(config_key(default), None)
    return [config for config in found.values() if space.contains(config)]


def _slower(own: _Point, default: Config, configs: Sequence[Config]) -> Vector:
    """How much slower each config is than the default by the template's estimate, as a logarithm; else 0."""
    if not isinstance(own.template, EstimatingTemplate):
        return np.zeros(len(configs))
    first, *others = (own.template.cycles(own.workload, own.target, config) for config in (default, *configs))
    return np.maximum(np.log(others) - math.log(first), 0.0)


def _gains(
    own: _Point, configs: Sequence[Config], relatives: Sequence[_Relative], names: tuple[str, ...]
) -> tuple[Vector, Vector]:
    """How much faster each of the other `configs` is than the first: logarithm and its standard deviation."""
    here = own.configs(configs, names)
    there = np.concatenate([relative.coordinates(names) for relative in relatives])
    here, there = _scaled(here, there)
    counts = [len(relative.configs) for relative in relatives]
    group = np.repeat(np.arange(len(relatives)), counts)
    places = np.array([relative.place for relative in relatives]) / _WORKLOAD_SCALE
    alike = _kernel(places, places)[np.ix_(group, group)] * _kernel(there, there)
    covariance = _GAIN**2 * alike + _LEVEL**2 * (group[:, None] == group) + _NOISE**2 * np.eye(len(group))
    near = _kernel(own.place()[None] / _WORKLOAD_SCALE, places)[0, group]
    to_data = _GAIN**2 * near * _kernel(here, there)
    differences = to_data[1:] - to_data[0]
    weights = differences @ np.linalg.inv(covariance)
    gains = weights @ np.concatenate([relative.speeds for relative in relatives])
    prior = 2 * _GAIN**2 * (1 - _kernel(here[:1], here[1:])[0])
    variances = prior - (weights * differences).sum(axis=1)
    return gains, np.sqrt(np.maximum(variances, 0.0))


def _scaled(here: Vector, there: Vector) -> tuple[Vector, Vector]:
    """Coordinates in units of their spread; those that do not vary are left out, so that they cannot drown the rest.

    The spread is over both: a feature that all relatives share may differ here, for example with another thread count.
    """
    both = np.concatenate([here, there])
    spread = both.std(axis=0)
    varies = spread > _STILL
    scale = spread[varies] * _CONFIG_SCALE * math.sqrt(varies.sum())
    both = (both[:, varies] - both[:, varies].mean(axis=0)) / scale
    return both[: len(here)], both[len(here) :]


def _kernel(left: Vector, right: Vector) -> Vector:
    """The Gaussian of the distances between the rows of `left` and of `right`."""
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
    return np.asarray(np.exp(-0.5 * np.maximum(squares, 0.0)), np.float64)
