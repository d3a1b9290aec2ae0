"""``tvmopt tune``: the search, with a live table."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvmopt.cli.options import (
    Duration,
    input_shape_option,
    logs_option,
    model_argument,
    resolve_target,
    target_option,
    threads_option,
)
from tvmopt.pipeline.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from tvmopt.pipeline.tuning.search import TuneOptions
    from tvmopt.pipeline.types import ImportedModel
    from tvmopt.schedules.target import Target

TUNERS = ("xgb", "ga", "random", "grid")


def tuner_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Checks a tuner's name.

    Raises:
        UsageError: with the nearest names, when there is no such tuner.
    """
    if value not in TUNERS:
        raise UsageError(did_you_mean("tuner", value, TUNERS))
    return value


@click.command()
@model_argument
@target_option
@click.option("--trials", type=click.IntRange(min=0), default=1000, show_default=True, metavar="N", help="Trials.")
@click.option("--time-limit", type=Duration(), help="Stop after so long, such as 5m.")
@click.option("--tuner", default="xgb", show_default=True, callback=tuner_name, help="xgb, ga, random or grid.")
@click.option(
    "--early-stopping",
    type=click.IntRange(min=1),
    metavar="N",
    help="End a task after N trials without a better one.",
)
@threads_option
@logs_option
@input_shape_option
@click.option("--tasks", default="*", show_default=True, metavar="GLOB", help="Tune tasks or layers of these names.")
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="First dimension of every input.")
@click.option("--seed", type=int, default=0, show_default=True, help="Fixes every random choice.")
def command(
    model: str,
    target: str,
    trials: int,
    time_limit: float | None,
    tuner: str,
    early_stopping: int | None,
    threads: int | None,
    logs: Path,
    input_shape: Mapping[str, tuple[int, ...]],
    tasks: str,
    batch: int | None,
    seed: int,
) -> None:
    """Search for the fastest kernels of MODEL on this machine, and record every trial.

    Trials go where time is: the weight of a task in the model times what is still to gain. At the end the fastest
    configs of each task are timed once more, inside the model; with --trials 0 that is all. Ctrl-C ends the search and
    keeps what was measured; the same command again goes on from there.
    """
    wanted = resolve_target(target, threads)
    if logs.exists() and not logs.is_dir():
        raise UsageError(f"--logs takes a folder, {str(logs)!r} is a file")
    from tvmopt.cli.consoles import make_console
    from tvmopt.pipeline.importers import load_model
    from tvmopt.pipeline.tuning.search import TuneOptions
    from tvmopt.pipeline.tuning.tune_model import check_measurable

    check_measurable(wanted)  # found out now, not after the import
    with make_console().status("importing"):
        imported = load_model(model, input_shape, batch)
    options = TuneOptions(trials=trials, time_limit_s=time_limit, tuner=tuner, early_stopping=early_stopping, seed=seed)
    search(imported, wanted, tasks, logs, options)


def search(model: ImportedModel, target: Target, pattern: str, logs: Path, options: TuneOptions) -> None:
    """Tunes with a live table, then says what it cost and what it won.

    Raises:
        KeyboardInterrupt: when the search ended with Ctrl-C, after the summary was printed.
    """
    from tvmopt.cli.consoles import make_console
    from tvmopt.cli.tuning_view import TuningView, summary_lines
    from tvmopt.pipeline.records.store import RecordStore
    from tvmopt.pipeline.tuning.rerank import time_finalists
    from tvmopt.pipeline.tuning.search import INTERRUPTED
    from tvmopt.pipeline.tuning.tune_model import tunable_tasks, tune_tasks

    console = make_console()
    tasks, store = tunable_tasks(model, target, pattern), RecordStore(logs, model.name)
    with TuningView(console, options.trials) as view:
        summary = tune_tasks(tasks, target, store, options, view)
    console.print(view.table())
    for line in summary_lines(summary, str(logs / target.key / f"{model.name}.jsonl")):
        console.print(line, highlight=False)
    if summary.stopped == INTERRUPTED:
        raise KeyboardInterrupt
    began = time.monotonic()
    with console.status("the finalists inside the model") as status:
        count = time_finalists(model, target, store, options.finalists, status.update)
    console.print(f"{count} finalists timed inside the model in {time.monotonic() - began:.0f} s", highlight=False)
