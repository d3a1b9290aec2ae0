"""What a network that was never tuned gains from the records of others: ``python -m tvmopt.benchmarks.suite.transfer``.

For each target that the records know, each network is left out in turn: its kernels get what compiling would give them
if its own log were not there. What was chosen, the default and the best of the network's own log are then looked up in
that log and compared, each kernel counted as often as the network runs it. Kernels of which one of the three was never
measured are left out; with ``--measure`` all three are measured, in turn, where the target is this machine.
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
"""The speed that a network which was never tuned must have, as a part of the tuned one's."""

TURNS = 3
"""Of measuring."""

_HEAD = ("target", "network", "kernels", "compared", "records", "transfers", "default / best", "transfer / best")


@dataclass(frozen=True, slots=True)
class Score:
    """One network on one target, left out.

    Attributes:
        target_key, network: which.
        tasks: its distinct kernels.
        compared: those of which all three latencies are known; the seconds are theirs.
        records: kernels that another network's record fits exactly.
        transfers: kernels that related records chose for.
        default_s, chosen_s, best_s: weight × latency, summed.
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
@click.option("--measure", is_flag=True, help="Measure what is compared, where the target is this machine.")
def main(targets: tuple[str, ...], networks: tuple[str, ...], logs: Path, measure: bool) -> None:
    """Leave each network's records out, and print what those of the others give it."""
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
        UsageError: when there is no such network, or nothing can be measured for the target here.
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
        lines += ["", f"Least part of the tuned speed: {share:.1%}, {worst.network} (must: {ENOUGH:.0%})."]
    return "\n".join(lines)


def _tasks(network: str, target: Target) -> tuple[Task, ...]:
    from tvmopt.pipeline.graph.optimize import optimize
    from tvmopt.pipeline.importers import load_model
    from tvmopt.pipeline.tasks.extract import extract_tasks

    file = shipped("models") / f"{network}.py"
    if not file.is_file():
        raise UsageError(f"the log {network!r} is of no network in models; name those to score with --network")
    return extract_tasks(optimize(load_model(f"{file}:build"), target))


def _without(network: str, logs: Path, folder: Path) -> RecordStore:
    """The records of all other networks, read."""
    for path in log_files(logs):
        if path.stem != network:
            (folder / path.parent.name).mkdir(exist_ok=True)
            (folder / path.parent.name / path.name).symlink_to(path.resolve())
    store = RecordStore(folder)
    store.records()
    return store


def _looked_up(path: Path, target: Target, choices: Sequence[TaskChoice]) -> list[tuple[float, ...]]:
    """Default, chosen and best of each task whose three latencies are in the log, times its weight."""
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
    """The same for all tasks that the log has, measured here."""
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
    """Latencies of `configs`, measured in turn: the least of the turns' medians; fewer where one failed.

    Other work makes a turn slower, and nothing makes it faster.
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
    """Each task with the log's successful records of it by its template, of the processor that has most."""
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
