"""``tvmopt inspect``: layers, memory, coverage and tasks of a model, without running it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvmopt.cli.options import (
    OutputFile,
    input_options,
    model_argument,
    strict_nan_option,
    target_option,
    threads_option,
)

if TYPE_CHECKING:
    from tvmopt.pipeline.inspection.inspect import Inspection


@click.command()
@model_argument
@target_option
@threads_option
@strict_nan_option
@input_options
@click.option("--json", "json_file", type=OutputFile(".json"), help="Also write everything as JSON.")
def command(model: str, json_file: Path | None, **settings: Any) -> None:
    """Show what each layer of MODEL costs and how it would be compiled, running nothing.

    A multiply-add counts as two operations; bytes count each operand and result once. Unsupported parts do not end the
    command: it lists all of them, each with a remedy.
    """
    from tvmopt.cli.consoles import make_console
    from tvmopt.cli.progress_line import StatusLine
    from tvmopt.cli.run import with_inputs
    from tvmopt.cli.views.inspect import parts
    from tvmopt.jobs.inspecting import InspectJob, inspect

    console = make_console()
    with StatusLine(console) as status:
        found = inspect(InspectJob(model, **with_inputs(settings)), status)
    if json_file is not None:
        write(found, json_file)
    for part in parts(found):
        console.print(part)


def write(inspection: Inspection, path: Path) -> None:
    """Writes the whole inspection as JSON.

    Raises:
        InputFileError: when the file cannot be written.
    """
    from tvmopt.pipeline.support.files import replaced

    with replaced(path) as file:
        file.write(json.dumps(inspection.to_json(), indent=1).encode())
