"""``tvmopt logs``: show, merge, prune and explain tuning records."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvmopt.cli.options import input_options, logs_option, strict_nan_option, target_option, threads_option
from tvmopt.jobs.settings import resolve_target
from tvmopt.pipeline.errors import InputFileError

if TYPE_CHECKING:
    from tvmopt.cli.tables import Table
    from tvmopt.pipeline.records.record import Record
    from tvmopt.pipeline.types import Task
    from tvmopt.schedules.target import Target
    from tvmopt.schedules.workload import Workload

_PATTERNS = {"target": "x86_64-*", "op": "conv2d", "model": "mobilenet*"}


@click.group()
def command() -> None:
    """Show, merge, prune and explain tuning records.

    Records are in DIR/<target>/<model>.jsonl, one line per trial.
    """


def filters(function: click.decorators.FC) -> click.decorators.FC:
    """The options that choose records: ``--target``, ``--op`` and ``--model``."""
    for name, what in (("model", "log (model)"), ("op", "operator"), ("target", "target's key")):
        text = f"Only records whose {what} matches the pattern, such as {_PATTERNS[name]!r}."
        function = click.option(f"--{name}", default="*", metavar="GLOB", help=text)(function)
    return function


@command.command()
@logs_option
@filters
def show(logs: Path, target: str, op: str, model: str) -> None:
    """List tuned workloads, with trials and best latency."""
    from tvmopt.cli.tables import Column, Table

    table = Table(
        Column("Target", least=12),
        Column("Log", least=12),
        Column("Workload"),
        Column("Shape", least=20, rank=3),
        Column("Template", least=8, rank=2),
        Column("Trials", number=True),
        Column("Failed", number=True),
        Column("Best ms", number=True),
        Column("Last", rank=1),
    )
    for log, records in _by_workload(_chosen(logs, target, op, model), with_log=True):
        first, best = records[0], _fastest(records)
        table.add(
            first.target_key,
            log,
            first.workload_key,
            shapes(first.workload),
            f"{first.template} {first.template_version}",
            str(len(records)),
            str(sum(record.status != "ok" for record in records)),
            milliseconds(best),
            max(record.time for record in records)[:10],
        )
    _print(table, "no records")


@command.command()
@logs_option
@filters
def best(logs: Path, target: str, op: str, model: str) -> None:
    """List the fastest config of each workload.

    Each target, template version and processor has its own.
    """
    from tvmopt.cli.tables import Column, Table

    table = Table(
        Column("Target", least=12),
        Column("Workload"),
        Column("Shape", least=20, rank=1),
        Column("Template", least=8),
        Column("Best ms", number=True),
        Column("Config", below=True),
        Column("Processor", below=True),
    )
    for _, records in _by_workload(_chosen(logs, target, op, model), with_log=False):
        record = _fastest(records)
        if record is not None:
            config = " ".join(f"{name}={value}" for name, value in record.config.items())
            template = f"{record.template} {record.template_version}"
            names = (record.target_key, record.workload_key, shapes(record.workload), template)
            table.add(*names, milliseconds(record), config, record.cpu)
    _print(table, "no successful records")


@command.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SRC…")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The folder of logs to add to; created when missing.",
)
def merge(sources: Sequence[Path], output: Path) -> None:
    """Add the records of SRC… to those in DIR.

    SRC is a log or a folder of logs. Records that DIR already has are not added again.
    """
    from tvmopt.pipeline.records.upkeep import merge as merge_logs

    report = merge_logs(sources, output)
    click.echo(f"{report.read} records read, {report.added} of them new, added to {len(report.files)} logs in {output}")


@command.command()
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--keep", type=click.IntRange(min=1), default=3, show_default=True, help="Number of configs to keep.")
@click.option("--corrupt-only", is_flag=True, help="Keep every record; only move corrupt lines away.")
def prune(directory: Path, keep: int, corrupt_only: bool) -> None:
    """Keep the fastest configs of each workload in DIR.

    This is done for each target, template version and processor; failed trials are removed. Corrupt lines move to
    <log>.corrupt beside the log. DIR may also be a single log.
    """
    from tvmopt.pipeline.records.upkeep import prune as prune_logs

    report = prune_logs(directory, None if corrupt_only else keep)
    click.echo(f"{report.kept} records kept, {report.dropped} dropped")
    if report.corrupt:
        places = ", ".join(map(str, report.side_files))
        click.echo(f"{report.corrupt} corrupt {'line' if report.corrupt == 1 else 'lines'} moved to {places}")


@command.command()
@click.argument("model", metavar="MODEL")
@target_option
@threads_option
@strict_nan_option
@logs_option
@input_options
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="First dimension of every input.")
def explain(model: str, target: str, threads: int | None, strict_nan: bool, logs: Path, **settings: Any) -> None:
    """Say which record applies to each task, or why none does.

    MODEL is a model, a log (.jsonl) for the workloads in it, or a file with one workload (.json).
    """
    from tvmopt.cli.consoles import output_width
    from tvmopt.cli.tables import Column, Table
    from tvmopt.pipeline.records.explain import explain as explain_workload
    from tvmopt.pipeline.records.store import RecordStore
    from tvmopt.schedules.registry import template_for

    machine = resolve_target(target, threads, strict_nan)
    store = RecordStore(logs)
    store.records()  # an unreadable log fails here, before a model is imported
    table = Table(
        Column("Task"), Column("Shape", least=20, rank=1), Column("Layers", least=16), Column("Record", least=30)
    )
    applied = moved = 0
    tasks = _tasks(model, machine, settings)
    for task in tasks:
        told = explain_workload(store, task.workload, machine, template_for(task.workload, machine))
        applied += told.record is not None
        moved += told.predicted is not None
        layers = task.layers[0] + (f" and {len(task.layers) - 1} more" if len(task.layers) > 1 else "")
        table.add(task.name, shapes(task.workload), layers, "\n".join(told.reasons))
    _print(table, "no tasks")
    transfer = f"{moved} by transfer from related records, " if moved else ""
    records = f"{applied} of {len(tasks)} tasks have a record that applies on {machine.key}"
    click.echo(click.wrap_text(f"{records}; {transfer}the rest use the default", output_width()))


def shapes(workload: Workload) -> str:
    """``1×64×56×56, 64×64×3×3 → 1×64×56×56``: the first two operands and the result."""
    *operands, result = (tensor.shape for tensor in (*workload.inputs[:2], workload.output))
    if workload.op == "attention":  # its tensors are flat, each may be part of another
        from tvmopt.schedules.compute.attention import shape_of

        sizes = shape_of(workload)
        operands = [(*sizes.batch, rows, sizes.depth) for rows in (sizes.queries, sizes.keys)]
        result = (*sizes.batch, sizes.queries, sizes.width)
    listed = ["×".join(map(str, shape)) for shape in (*operands, result)]
    return f"{', '.join(listed[:-1])} → {listed[-1]}"


def milliseconds(record: Record | None) -> str:
    """The record's median latency in ms, ``–`` if there is none."""
    return "–" if record is None or record.median_s is None else f"{record.median_s * 1e3:.4g}"


def _chosen(logs: Path, target: str, op: str, model: str) -> Iterator[tuple[str, Record]]:
    """Each record that matches the patterns, with the stem of its log."""
    from tvmopt.pipeline.records.store import log_files, read_records

    for path in log_files(logs):
        if fnmatch(path.stem, model):
            for record in read_records(path):
                if fnmatch(record.target_key, target) and fnmatch(record.workload.op, op):
                    yield path.stem, record


def _by_workload(records: Iterable[tuple[str, Record]], with_log: bool) -> list[tuple[str, list[Record]]]:
    """Records grouped by workload, target, template version, and the log's name or the processor."""
    groups: defaultdict[tuple[str, ...], list[Record]] = defaultdict(list)
    for log, record in records:
        template = (record.template, str(record.template_version))
        groups[record.target_key, log if with_log else record.cpu, record.workload_key, *template].append(record)
    return [(key[1], group) for key, group in sorted(groups.items())]


def _fastest(records: Sequence[Record]) -> Record | None:
    from tvmopt.pipeline.records.ranking import fastest

    return fastest(records)


def _tasks(model: str, target: Target, settings: Mapping[str, Any]) -> tuple[Task, ...]:
    """The tasks of a model, imported with `settings`, or of the workloads in a file."""
    from tvmopt.pipeline.types import Task

    path = Path(model)
    if path.suffix in (".json", ".jsonl"):
        found = dict.fromkeys(_workloads(path))
        return tuple(Task(workload.key, workload, 1, ("–",)) for workload in found)
    from tvmopt.cli.run import with_inputs
    from tvmopt.pipeline.graph.optimize import optimize
    from tvmopt.pipeline.importers import load_model
    from tvmopt.pipeline.tasks.extract import extract_tasks

    return extract_tasks(optimize(load_model(model, **with_inputs(settings)), target))


def _workloads(path: Path) -> list[Workload]:
    from tvmopt.pipeline.records.store import read_records
    from tvmopt.schedules.workload import Workload

    if path.suffix == ".jsonl":
        return [record.workload for record in read_records(path)]
    try:
        workload = Workload.from_json(json.loads(path.read_bytes()))
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}") from error
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise InputFileError(f"{path}: not a workload in the format of records ({error!r})") from None
    return [workload]


def _print(table: Table, empty: str) -> None:
    from tvmopt.cli.consoles import make_console

    if table.rows:
        make_console().print(table)
    else:
        click.echo(empty)
