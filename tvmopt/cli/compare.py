"""``tvmopt compare``: a model on every runtime, in one fair run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvmopt.cli.options import (
    Integers,
    Names,
    OutputFile,
    data_options,
    input_options,
    logs_option,
    model_argument,
    precision_option,
)
from tvmopt.cli.progress_line import ProgressLine
from tvmopt.pipeline.errors import CancelledError

if TYPE_CHECKING:
    from tvmopt.benchmarks.measurements.types import Comparison


@click.command()
@model_argument
@click.option("--runtimes", type=Names(), default=(), help="Runtimes to compare; all stands for most.  [default: all]")
@click.option(
    "--batch", type=Integers(), default=(), help="Batch sizes.  [default: the model's own; 1 where it is open]"
)
@click.option("--threads", type=Integers(), default=(), help="Thread counts.  [default: all cores]")
@click.option("--streams", type=Integers(), default=(), help="Streams for openvino-throughput.  [default: its choice]")
@click.option("--rounds", type=click.IntRange(min=5), default=20, show_default=True, help="Turns of each runtime.")
@click.option(
    "--method",
    type=click.Choice(("turns", "dli")),
    default="turns",
    show_default=True,
    help="Time turns of one length, or as the Deep Learning Inference benchmark: sequential requests.",
)
@click.option(
    "--iterations",
    type=click.IntRange(min=5),
    metavar="N",
    help="Requests to each runtime, with --method dli.  [default: 1000]",
)
@click.option("--search", is_flag=True, help="Find each runtime's best parameters first.")
@click.option(
    "--search-seconds",
    type=click.FloatRange(min=0, min_open=True, max=86400, max_open=True),
    metavar="S",
    help="Time to measure parameters for each runtime, with --search.  [default: 20]",
)
@click.option("--tune-trials", type=click.IntRange(min=0), default=0, metavar="N", help="Tune each cell first.")
@click.option("--layers", is_flag=True, help="Also profile every runtime layer by layer.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Pictures to measure and calibrate on, or a labelled set, as for `tvmopt evaluate`: then accuracy stands "
    "beside speed.  [default: scikit-learn's two sample photographs]",
)
@data_options
@logs_option
@precision_option
@input_options
@click.option("--json", "json_file", type=OutputFile(".json"), help="Write the measurement file.")
@click.option("--html", "html_file", type=OutputFile(".html", ".htm"), help="Write the report as a page.")
@click.option("--md", "md_file", type=OutputFile(".md"), help="Write the report as Markdown.")
def command(
    model: str,
    json_file: Path | None,
    html_file: Path | None,
    md_file: Path | None,
    **settings: Any,
) -> None:
    """Measure MODEL on every runtime: same cores, same inputs, in turn.

    Each runtime runs in its own process. A missing runtime gets a row that says how to install it. Ctrl-C keeps the
    complete results.
    """
    from tvmopt.cli.run import with_inputs
    from tvmopt.jobs.comparing import CompareJob, compare
    from tvmopt.jobs.reporting import require_page_packages

    job = CompareJob(model, batches=settings.pop("batch"), **with_inputs(settings))
    outputs = Outputs(json_file, html_file, md_file)
    if html_file is not None:
        require_page_packages()
    try:
        with _progress_line() as line:
            comparison = compare(job, line)
    except CancelledError as stop:
        if stop.partial is not None:
            _show(stop.partial, outputs)
        raise
    _show(comparison, outputs)


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files to write; None for those not requested."""

    json_file: Path | None
    html_file: Path | None
    md_file: Path | None


def _progress_line() -> ProgressLine:
    """A progress line on standard error, so that standard output has only the result."""
    from rich.console import Console

    return ProgressLine(Console(stderr=True))


def _show(comparison: Comparison, outputs: Outputs) -> None:
    """Writes the files and prints the tables."""
    from tvmopt.benchmarks.measurements.files import to_document, write_document
    from tvmopt.cli.consoles import make_console
    from tvmopt.cli.views.comparison import print_comparisons
    from tvmopt.jobs.reporting import write_reports

    if outputs.json_file is not None:
        write_document(to_document(comparison), outputs.json_file)
    print_comparisons([comparison], make_console())
    write_reports([comparison], outputs.html_file, outputs.md_file)
    for path in filter(None, (outputs.json_file, outputs.html_file, outputs.md_file)):
        click.echo(f"wrote {path}")
