"""Shows the gain of an untuned network from other networks' records: ``python -m tvmopt.benchmarks.suite.transfer``.

For each target in the records, each network is left out in turn: its kernels get the configs that compiling would
choose without the network's own log. The chosen, the default and the best config are then looked up in that log and
compared, with each kernel counted as often as the network runs it. Kernels without all three latencies are left out;
with ``--measure`` all three are measured, in turn, if the target is this machine.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvmopt.benchmarks.suite.tuners import table_target
from tvmopt.pipeline.errors import TvmoptError, UsageError
from tvmopt.pipeline.records.ranking import fastest
from tvmopt.pipeline.records.record import Record
from tvmopt.pipeline.records.store import RecordStore, log_files, read_records
from tvmopt.pipeline.support.shipped import shipped
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.space import Config, config_key

if TYPE_CHECKING:
    from tvmopt.pipeline.tasks.choose_configs import TaskChoice
    from tvmopt.pipeline.tuning.measure.workers import WorkerMeasurer
    from tvmopt.pipeline.types import Task
    from tvmopt.schedules.target import Target

ENOUGH = 0.9
"""Minimum speed of an untuned network, as a fraction of its tuned speed."""

TURNS = 3
"""How often the three configs are measured, in turn."""

_HEAD = ("target", "network", "kernels", "compared", "records", "transfers", "default / best", "transfer / best")


@dataclass(frozen=True, slots=True)
class Score:
    """One network on one target, left out.

    Attributes:
        target_key, network: the target and the network.
        tasks: number of its distinct kernels.
        compared: number of kernels with all three latencies; the seconds are theirs.
        records: number of kernels that another network's record matches exactly.
        transfers: number of kernels with a config chosen by related records.
        default_s, chosen_s, best_s: sums of weight × latency.
    """

    target_key: str
    network: str
    tasks: int
    compared: int
    records: int
    transfers: int
    default_s: float
    chosen_s: float
    best_s: float


@click.command()
@click.option("--target", "targets", multiple=True, metavar="KEY", help="Such as x86_64-avx2-1t.  [default: all]")
@click.option("--network", "networks", multiple=True, metavar="NAME", help="Repeatable.  [default: all with a log]")
@click.option("--logs", type=click.Path(path_type=Path), default=shipped("tuning_logs"), help="Tuning records.")
@click.option("--measure", is_flag=True, help="Measure the configs if the target is this machine.")
def main(targets: tuple[str, ...], networks: tuple[str, ...], logs: Path, measure: bool) -> None:
    """Leave out each network's records, and print its speed with the records of the others."""
    scores = []
    try:
        for path in log_files(logs):
            if (not targets or path.parent.name in targets) and (not networks or path.stem in networks):
                click.echo(f"{path.parent.name}: {path.stem}", err=True)
                scores.append(score_network(path, logs, measure))
    except TvmoptError as error:
        raise click.ClickException(str(error)) from None
    if not scores:
        raise click.ClickException(f"{logs}: no log fits")
    click.echo(render(scores))


def score_network(path: Path, logs: Path, measure: bool = False) -> Score:
    """Scores the network whose log is at `path`.

    Args:
        path: ``<logs>/<target key>/<network>.jsonl``; the network is models/<network>.py.
        logs: the records of all networks.
        measure: measure instead of looking up.

    Raises:
        UsageError: when there is no such network, or this machine cannot measure for the target.
    """
    from tvmopt.pipeline.tasks.choose_configs import choose_configs

    target = table_target(path)
    tasks = _tasks(path.stem, target)
    with tempfile.TemporaryDirectory(prefix="tvmopt-transfer-") as folder:
        others = _without(path.stem, logs, Path(folder))
        choices = choose_configs(tasks, target, others)
    rows = _measured(path, target, choices) if measure else _looked_up(path, target, choices)
    sums = [sum(column) for column in zip(*rows, strict=True)] or [0.0, 0.0, 0.0]
    origins = [choice.origin for choice in choices]
    return Score(
        *(path.parent.name, path.stem, len(tasks), len(rows), origins.count("record"), origins.count("transfer")), *sums
    )


def render(scores: Sequence[Score]) -> str:
    """A Markdown table, and whether all networks reach `ENOUGH`."""
    lines = [f"| {' | '.join(_HEAD)} |", f"|{'---|' * len(_HEAD)}"]
    compared = [score for score in scores if score.compared]
    for score in scores:
        counts = (score.tasks, score.compared, score.records, score.transfers)
        ratios = ("–", "–")
        if score.compared:
            ratios = (f"{score.default_s / score.best_s:.3f}", f"{score.chosen_s / score.best_s:.3f}")
        lines.append(f"| {' | '.join((score.target_key, score.network, *map(str, counts), *ratios))} |")
    if compared:
        worst = min(compared, key=lambda score: score.best_s / score.chosen_s)
        share = worst.best_s / worst.chosen_s
        lines += ["", f"Lowest share of the tuned speed: {share:.1%}, {worst.network} (limit: {ENOUGH:.0%})."]
    return "\n".join(lines)


def _tasks(network: str, target: Target) -> tuple[Task, ...]:
    from tvmopt.pipeline.graph.optimize import optimize
    from tvmopt.pipeline.importers import load_model
    from tvmopt.pipeline.tasks.extract import extract_tasks

    file = shipped("models") / f"{network}.py"
    if not file.is_file():
        raise UsageError(f"the log {network!r} is not of a network in models; select networks with --network")
    return extract_tasks(optimize(load_model(f"{file}:build"), target))


def _without(network: str, logs: Path, folder: Path) -> RecordStore:
    """The records of all other networks, already read."""
    for path in log_files(logs):
        if path.stem != network:
            (folder / path.parent.name).mkdir(exist_ok=True)
            (folder / path.parent.name / path.name).symlink_to(path.resolve())
    store = RecordStore(folder)
    store.records()
    return store


def _looked_up(path: Path, target: Target, choices: Sequence[TaskChoice]) -> list[tuple[float, ...]]:
    """Default, chosen and best latency times weight, for each task with all three in the log."""
    rows = []
    for choice, known in _known(path, target, choices):
        default = template_for(choice.task.workload, target).default(choice.task.workload, target)
        medians = _medians(known)
        found = [medians.get(config_key(config)) for config in (default, choice.config)]
        seconds = [value for value in (*found, min(medians.values())) if value is not None]
        if len(seconds) == 3:
            rows.append(tuple(choice.task.weight * value for value in seconds))
    return rows


def _measured(path: Path, target: Target, choices: Sequence[TaskChoice]) -> list[tuple[float, ...]]:
    """The same for all tasks in the log, measured on this machine."""
    from tvmopt.pipeline.tuning.measure.workers import WorkerMeasurer
    from tvmopt.pipeline.tuning.tune_model import check_measurable

    check_measurable(target)
    rows = []
    with closing(WorkerMeasurer(target)) as measurer:
        for choice, known in _known(path, target, choices):
            best = fastest(known)
            assert best is not None
            default = template_for(choice.task.workload, target).default(choice.task.workload, target)
            medians = _measure(measurer, choice.task, (default, choice.config, best.config))
            if len(medians) == 3:
                rows.append(tuple(choice.task.weight * value for value in medians))
    return rows


def _measure(measurer: WorkerMeasurer, task: Task, configs: Sequence[Config]) -> list[float]:
    """Latencies of `configs`, measured in turn: the smallest of the turns' medians, without failed configs.

    The smallest counts because disturbances make a turn slower, never faster.
    """
    distinct = {config_key(config): config for config in configs}
    medians: dict[tuple[tuple[str, int], ...], list[float]] = {key: [] for key in distinct}
    for _ in range(TURNS):
        for trial in measurer.measure(task, list(distinct.values())):
            if trial.latency_s:
                medians[config_key(trial.config)].append(statistics.median(trial.latency_s))
    taken = [medians[config_key(config)] for config in configs]
    return [min(each) for each in taken if each]


def _known(path: Path, target: Target, choices: Sequence[TaskChoice]) -> Iterator[tuple[TaskChoice, list[Record]]]:
    """Each task with its successful records by its template in the log, from the processor with most of them."""
    records = [record for record in read_records(path) if record.latency_s and not record.in_model]
    for choice in choices:
        template = template_for(choice.task.workload, target)
        wanted = (choice.task.workload, template.name, template.version)
        own = [r for r in records if (r.workload, r.template, r.template_version) == wanted]
        if own:
            cpu = statistics.mode(record.cpu for record in own)
            yield choice, [record for record in own if record.cpu == cpu]


def _medians(records: Sequence[Record]) -> dict[tuple[tuple[str, int], ...], float]:
    samples: dict[tuple[tuple[str, int], ...], list[float]] = {}
    for record in records:
        samples.setdefault(config_key(record.config), []).extend(record.latency_s)
    return {key: statistics.median(taken) for key, taken in samples.items()}


if __name__ == "__main__":
    main()
