"""``tvmopt inspect``: layers, memory, coverage and tasks of a model that is not run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvmopt.cli.options import (
    OutputFile,
    input_shape_option,
    model_argument,
    target_option,
    threads_option,
)

if TYPE_CHECKING:
    from tvmopt.pipeline.inspection.inspect import Inspection


@click.command()
@model_argument
@target_option
@threads_option
@input_shape_option
@click.option("--json", "json_file", type=OutputFile(".json"), help="Write all of it there as JSON, too.")
def command(
    model: str, target: str, threads: int | None, input_shape: Mapping[str, tuple[int, ...]], json_file: Path | None
) -> None:
    """Show what each layer of MODEL costs and how it would be compiled, running nothing.

    Operations count a multiply-add as two; bytes are those of each operand and result once. What is not supported does
    not end the command: it is listed, all of it, with what to do about it.
    """
    from tvmopt.cli.consoles import make_console
    from tvmopt.cli.inspect_view import parts
    from tvmopt.cli.progress_line import StatusLine
    from tvmopt.jobs.inspecting import InspectJob, inspect

    console = make_console()
    with StatusLine(console) as status:
        found = inspect(InspectJob(model, target, threads, input_shape), status)
    if json_file is not None:
        write(found, json_file)
    for part in parts(found):
        console.print(part)


def write(inspection: Inspection, path: Path) -> None:
    """Writes all that was found as JSON.

    Raises:
        InputFileError: when the file cannot be written.
    """
    from tvmopt.pipeline.support.files import replaced

    with replaced(path) as file:
        file.write(json.dumps(inspection.to_json(), indent=1).encode())
