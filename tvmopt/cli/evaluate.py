"""``tvmopt evaluate``: a model's accuracy on a labelled set, in every runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvmopt.cli.options import (
    Names,
    OutputFile,
    data_options,
    input_shape_option,
    logs_option,
    threads_option,
)
from tvmopt.pipeline.errors import CancelledError

if TYPE_CHECKING:
    from tvmopt.benchmarks.measurements.accuracy import Evaluation


@click.command()
@click.argument("model", metavar="MODEL|ARTIFACT")
@click.option(
    "--data", type=click.Path(path_type=Path), required=True, metavar="DIR", help="The labelled set: see below."
)
@data_options
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Seed of --samples")
@click.option(
    "--runtimes", type=Names(), default=(), help="Runtimes to evaluate.  [default: all `tvmopt runtimes` lists]"
)
@click.option(
    "--against",
    metavar="MODEL",
    help="The model that differences are to, such as the one before quantisation.  [default: MODEL in its framework]",
)
@threads_option
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="Batch size.  [default: the model's own, or 1]")
@logs_option
@input_shape_option
@click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where what is judged is kept, so that another run goes on from there.  [default: the cache]",
)
@click.option("--fresh", is_flag=True, help="Judge anew what earlier runs have judged.")
@click.option("--json", "json_file", type=OutputFile(".json"), help="Write the results.")
def command(json_file: Path | None, **settings: Any) -> None:
    """Judge MODEL, or ARTIFACT, on a labelled set: every runtime on the same prepared samples.

    The set is a folder for each class; a list of pictures and labels (.txt, .csv); VOC's folders; MNIST's idx files; or
    an .npz with images and labels. Its metric is top-1, mAP or mean IoU, whichever its labels suit. Values have 95 %
    intervals, and so have the paired differences to the reference. Pictures that cannot be read are left out and
    counted. Ctrl-C keeps what was judged; the same command then goes on from there.
    """
    from rich.console import Console

    from tvmopt.cli.progress_line import ProgressLine
    from tvmopt.jobs.evaluating import EvaluateJob, evaluate

    job = EvaluateJob(input_shapes=settings.pop("input_shape"), **settings)
    try:
        with ProgressLine(Console(stderr=True)) as line:
            evaluation = evaluate(job, line)
    except CancelledError as stop:
        if stop.partial is not None:
            _show(stop.partial, json_file)
        raise
    _show(evaluation, json_file)


def _show(evaluation: Evaluation, json_file: Path | None) -> None:
    """Prints the table and writes the file."""
    from tvmopt.benchmarks.measurements.files import write_document
    from tvmopt.cli.consoles import make_console
    from tvmopt.cli.views.accuracy import parts

    console = make_console()
    for part in parts(evaluation.accuracy, str(evaluation.model["name"])):
        console.print(part)
    if json_file is not None:
        write_document(evaluation.to_json(), json_file)
        click.echo(f"wrote {json_file}")
