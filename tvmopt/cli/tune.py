"""``tvmopt tune``: the search, with a live table."""

from __future__ import annotations

from typing import Any

import click

from tvmopt.cli.options import (
    Duration,
    WithSizes,
    logs_option,
    model_argument,
    precision_option,
    several_sizes,
    strict_nan_option,
    target_option,
    threads_option,
)
from tvmopt.pipeline.errors import CancelledError
from tvmopt.pipeline.tuning.tuners import TUNERS


@click.command(cls=WithSizes)
@model_argument
@target_option
@click.option(
    "--trials", type=click.IntRange(min=0), default=1000, show_default=True, metavar="N", help="Total trials."
)
@click.option("--time-limit", type=Duration(), help="Stop after this time, such as 5m.")
@click.option("--tuner", default="xgb", show_default=True, metavar="NAME", help=f"One of {', '.join(TUNERS)}.")
@click.option(
    "--early-stopping",
    type=click.IntRange(min=1),
    metavar="N",
    help="End a task after N trials without an improvement.",
)
@threads_option
@strict_nan_option
@precision_option
@logs_option
@several_sizes
@click.option(
    "--tasks", default="*", show_default=True, metavar="GLOB", help="Tune only tasks or layers with matching names."
)
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="First dimension of every input.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of every random choice.")
def command(
    model: str,
    trials: int,
    time_limit: float | None,
    tuner: str,
    early_stopping: int | None,
    seed: int,
    **settings: Any,
) -> None:
    """Search for the fastest kernels of MODEL on this machine, and record every trial.

    Trials go to the tasks that can save most time: a task's weight in the model times its expected gain. At the end the
    fastest configs of each task are timed once more, inside the model; with --trials 0 nothing else is done. Ctrl-C
    ends the search and keeps the records; running the same command again resumes from them. The kernels of several
    sizes are tuned together.
    """
    from tvmopt.cli.consoles import make_console
    from tvmopt.cli.run import with_inputs
    from tvmopt.cli.views.tuning import TuningView, parts
    from tvmopt.jobs.tuning import TuneJob, tune
    from tvmopt.pipeline.tuning.search import TuneOptions

    search = TuneOptions(trials=trials, time_limit_s=time_limit, tuner=tuner, early_stopping=early_stopping, seed=seed)
    job = TuneJob(model, search=search, **with_inputs(settings))
    console = make_console()
    view = TuningView(console, trials)
    try:
        with view:
            result = tune(job, view)
    except CancelledError as stop:
        for part in parts(stop.partial, view.peaks):
            console.print(part)
        raise
    for part in parts(result, view.peaks):
        console.print(part)
