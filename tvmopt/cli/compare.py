"""``tvmopt compare``: a model on every runtime, in one fair run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvmopt.cli.options import Integers, Names, OutputFile, input_shape_option, logs_option, model_argument
from tvmopt.cli.progress_line import ProgressLine

if TYPE_CHECKING:
    from tvmopt.benchmarks.comparison.compare import Tune
    from tvmopt.benchmarks.measurements.options import CompareOptions
    from tvmopt.pipeline.types import ImportedModel

_STOPPED = 130


@click.command()
@model_argument
@click.option(
    "--runtimes", type=Names(), default=(), help="Runtimes to compare.  [default: all `tvmopt runtimes` lists]"
)
@click.option("--batch", type=Integers(), default=(1,), help="Batch sizes.  [default: 1]")
@click.option("--threads", type=Integers(), default=None, help="Thread counts.  [default: all cores]")
@click.option("--rounds", type=click.IntRange(min=5), default=20, show_default=True, help="Turns of each runtime.")
@click.option("--tune-trials", type=click.IntRange(min=0), default=0, metavar="N", help="Tune each cell first.")
@click.option("--layers", is_flag=True, help="Also profile every runtime layer by layer.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Pictures to measure and calibrate on.  [default: scikit-learn's two sample photographs]",
)
@logs_option
@input_shape_option
@click.option("--json", "json_file", type=OutputFile(".json"), help="Write the measurement file.")
@click.option("--html", "html_file", type=OutputFile(".html", ".htm"), help="Write the report as a page.")
@click.option("--md", "md_file", type=OutputFile(".md"), help="Write the report as Markdown.")
@click.pass_context
def command(
    context: click.Context,
    /,
    model: str,
    json_file: Path | None,
    html_file: Path | None,
    md_file: Path | None,
    **settings: Any,
) -> None:
    """Measure MODEL on every runtime: same cores, same inputs, in turn.

    Each runtime runs in a process of its own. One that is missing gets a row that says how to install it. Ctrl-C keeps
    what is complete.
    """
    from rich.console import Console

    from tvmopt.benchmarks.comparison.compare import run_comparison
    from tvmopt.benchmarks.measurements.files import from_document, write_document
    from tvmopt.cli.report import print_tables, require_page_packages, write_reports

    options = make_options(model, **settings)
    if html_file is not None:
        require_page_packages()
    # Progress goes to standard error, so that standard output holds the result alone.
    progress = ProgressLine(Console(stderr=True))
    with progress:
        document = run_comparison(options, progress, _tuner(options, progress))
    comparison = from_document(document)
    if json_file is not None:
        write_document(document, json_file)
    print_tables([comparison], Console())
    write_reports([comparison], html_file, md_file)
    for path in filter(None, (json_file, html_file, md_file)):
        click.echo(f"wrote {path}")
    if not comparison.complete:
        click.echo("tvmopt: stopped with Ctrl-C; what was complete is kept", err=True)
        context.exit(_STOPPED)


def make_options(
    model: str, *, logs: Path, threads: tuple[int, ...] | None, batch: tuple[int, ...], rounds: int, **rest: Any
) -> CompareOptions:
    """The command's options as `benchmarks.comparison.compare.run_comparison` takes them.

    Args:
        model: MODEL.
        logs: the user's tuning records; those that come with tvmopt stand behind them.
        threads: thread counts, by default all cores this process may use.
        batch: batch sizes.
        rounds: turns of each runtime.
        **rest: ``runtimes``, ``tune_trials``, ``layers``, ``data`` and ``input_shape``.
    """
    from tvmopt.benchmarks.machine.environment import usable_cores
    from tvmopt.benchmarks.measurements.options import CompareOptions, MeasureOptions
    from tvmopt.pipeline.support.shipped import shipped

    return CompareOptions(
        model,
        runtimes=rest["runtimes"],
        batches=batch,
        threads=threads or (len(usable_cores()),),
        input_shapes=rest["input_shape"],
        logs=tuple(dict.fromkeys(folder.resolve() for folder in (logs, shipped("tuning_logs")))),
        data=rest["data"],
        tune_trials=rest["tune_trials"],
        layers=rest["layers"],
        measure=MeasureOptions(rounds=rounds),
    )


def _tuner(options: CompareOptions, progress: ProgressLine) -> Tune | None:
    """What tunes a model before it is measured; nothing without ``--tune-trials``."""
    if not options.tune_trials:
        return None

    def tune(model: ImportedModel, threads: int) -> None:
        from tvmopt.pipeline.tuning.search import INTERRUPTED, TuneOptions
        from tvmopt.pipeline.tuning.tune_model import tune_model
        from tvmopt.schedules.target import parse_target

        logs, target = options.logs[0], parse_target("llvm", threads)
        summary = tune_model(model, target, logs, TuneOptions(trials=options.tune_trials), progress.tuning)
        if summary.stopped == INTERRUPTED:
            raise KeyboardInterrupt

    return tune
