"""``tvmopt run``: runs an artifact on arrays from a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click

from tvmopt.cli.options import OutputFile
from tvmopt.pipeline.errors import InputFileError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from tvmopt.jobs.running import RunResult


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--inputs", type=click.Path(path_type=Path), metavar="FILE.npz", help="Arrays by the inputs' names.")
@click.option("--outputs", type=OutputFile(".npz"), help="Where to write the outputs, by their names.")
@click.option(
    "--repeat", type=click.IntRange(min=1), default=1, metavar="N", help="Run N times and report the latency."
)
@click.option("--check", is_flag=True, help="Run the golden inputs and compare with the golden outputs.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads.  [default: as compiled]")
def command(
    artifact: Path, inputs: Path | None, outputs: Path | None, repeat: int, check: bool, threads: int | None
) -> None:
    """Run ARTIFACT on arrays from a file, or check it against its golden pair."""
    if not check and inputs is None:
        raise UsageError("nothing to run on: give --inputs FILE.npz, or --check for the golden inputs")
    if outputs is not None and inputs is None:
        raise UsageError(f"--outputs saves the results for --inputs: give --inputs FILE.npz too, not only {outputs}")
    from tvmopt.jobs.running import RunJob, run

    given = None if inputs is None else read_arrays(inputs)
    result = run(RunJob(artifact, given, check, repeat, threads))
    for line in lines(result):
        click.echo(line)
    if outputs is not None and result.outputs is not None:
        write_arrays(outputs, result.outputs)
        click.echo(f"wrote {outputs}")


def lines(result: RunResult) -> Iterator[str]:
    """The results: largest error of a golden output, median latency, shapes of the outputs."""
    if result.golden:
        yield f"golden outputs match: {max(result.golden, key=lambda output: output.error.relative)}"
    if result.latency_s:
        runs = len(result.latency_s)
        yield f"latency: median {median(result.latency_s) * 1e3:.3f} ms of {runs} run{'s' if runs > 1 else ''}"
    for name, array in (result.outputs or {}).items():
        yield f"{name}: {array.dtype} {tuple(array.shape)}"


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name.

    Raises:
        InputFileError: when the file is missing or is not an .npz.
    """
    from tvmopt.pipeline.support.npz import read_npz

    if not path.is_file():
        kind = "is a directory" if path.is_dir() else "does not exist"
        raise InputFileError(f"{path} {kind}; --inputs takes an .npz file with an array for each input")
    try:
        with path.open("rb") as file:
            return read_npz(file)
    except (OSError, ValueError) as error:
        raise InputFileError(f"{path} is not a readable .npz file: {error}") from None


def with_inputs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a command's options, those of `input_options` renamed to a job's: arrays in place of a file.

    Raises:
        InputFileError: as `read_arrays`.
    """
    names = {"input_shape": "input_shapes", "input_value": "input_values"}
    job = {names.get(name, name): value for name, value in settings.items()}
    return job if job["inputs"] is None else {**job, "inputs": read_arrays(job["inputs"])}


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes an .npz file, whole or not at all."""
    from tvmopt.pipeline.support.files import replaced
    from tvmopt.pipeline.support.npz import write_npz

    with replaced(path) as file:
        write_npz(file, arrays)
