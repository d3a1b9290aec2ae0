"""``tvmopt profile``: where the time goes, layer by layer, here and in other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tvmopt.cli.options import Names, OutputFile, StageNames, input_options, logs_option
from tvmopt.cli.progress_line import ProgressLine
from tvmopt.pipeline.importers.registry import listed_forms


@click.command()
@click.argument(
    "model",
    metavar="MODEL|ARTIFACT|PROGRAM",
    help=f"The model: {listed_forms()}; an artifact (.tar); or path/file.py:function, a program.",
)
@click.option(
    "--runtimes",
    type=Names(),
    default=(),
    help="Runtimes to profile, names that `tvmopt runtimes` lists.  [default: tvmopt,pytorch,onnxruntime,openvino]",
)
@click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="Threads.  [default: all cores; an artifact's own]"
)
@logs_option
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True, max=600),
    default=3.0,
    show_default=True,
    help="Approximate profiling time of each runtime.",
)
@input_options
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="Show only the N slowest layers, or functions.")
@click.option(
    "--stage",
    "stages",
    type=StageNames(),
    multiple=True,
    help="For a program: its own functions that make up a stage.",
)
@click.option("--json", "json_file", type=OutputFile(".json"), help="Write the profiles.")
def command(
    model: str,
    top: int | None,
    json_file: Path | None,
    stages: tuple[tuple[str, tuple[str, ...]], ...],
    **settings: Any,
) -> None:
    """Show where the time of MODEL goes, layer by layer: in tvmopt's kernels and in other runtimes.

    Each runtime runs in its own process, alternately with its own profiler on and off. A fused kernel names the layers
    that it covers. ARTIFACT is a .tar that `tvmopt compile` wrote; it is profiled by itself and unchanged.

    PROGRAM is a function without arguments that returns no model, but reads, prepares and infers. It is called again
    and again, and each stage has its share: calls of known libraries are importing, reading, loading the model or
    inferring, those that --stage names are what it says, and all else is preparing.
    """
    from rich.console import Console

    from tvmopt.benchmarks.measurements.files import write_document
    from tvmopt.benchmarks.measurements.layer_table import LayerTable
    from tvmopt.cli.consoles import make_console
    from tvmopt.cli.run import with_inputs
    from tvmopt.cli.views.profile import parts
    from tvmopt.cli.views.program import program_parts
    from tvmopt.jobs.profiling import ProfileJob, profile

    named = {function: stage for stage, functions in stages for function in functions}
    job = ProfileJob(model, stages=named, **with_inputs(settings))
    with ProgressLine(Console(stderr=True)) as progress:
        document = profile(job, progress)
    if json_file is not None:
        write_document(document, json_file)
    console = make_console()
    program = "program" in document
    shown = program_parts(document, top) if program else parts(LayerTable.from_json(document), document, top)
    for part in shown:
        console.print(part)
    if json_file is not None:
        click.echo(f"wrote {json_file}")
