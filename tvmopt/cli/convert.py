"""``tvmopt convert``: the ONNX form of a model, as a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tvmopt.cli.options import OutputFile, input_shape_option, model_argument


@click.command()
@model_argument
@input_shape_option
@click.option("-o", "--output", type=OutputFile(".onnx"), required=True, help="The file to write.")
def command(model: str, input_shape: Mapping[str, tuple[int, ...]], output: Path) -> None:
    """Write MODEL as ONNX, as it was imported: with the layers' names and static shapes, and not optimised.

    Operators that cannot be compiled yet do not end the command; other runtimes may take them.
    """
    from tvmopt.pipeline.importers.load import load_onnx
    from tvmopt.pipeline.support.files import replaced
    from tvmopt.pipeline.support.weights.light_model import serialized

    with TemporaryDirectory(prefix="tvmopt-") as folder:
        converted, checked = load_onnx(model, input_shape, Path(folder))
        with replaced(output) as file:
            for piece in serialized(converted):
                file.write(piece)
    how = f"; it computes what {checked.against} does" if checked.against else ""
    how = f"; not checked: {checked.unchecked}" if checked.unchecked else how
    click.echo(f"wrote {output}: {len(converted.graph.node)} nodes{how}")
