"""``tvmopt run``: an artifact on arrays from a file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvmopt.cli.options import OutputFile
from tvmopt.pipeline.errors import InputFileError, UsageError, WrongResultError

if TYPE_CHECKING:
    import numpy as np

    from tvmopt.pipeline.artifact.loaded import LoadedArtifact


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--inputs", type=click.Path(path_type=Path), metavar="FILE.npz", help="Arrays by the inputs' names.")
@click.option("--outputs", type=OutputFile(".npz"), help="Where to write the outputs, by their names.")
@click.option("--repeat", type=click.IntRange(min=1), default=1, metavar="N", help="Run N times and tell the latency.")
@click.option("--check", is_flag=True, help="Run the golden inputs and compare with the golden outputs.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads.  [default: as compiled]")
def command(
    artifact: Path, inputs: Path | None, outputs: Path | None, repeat: int, check: bool, threads: int | None
) -> None:
    """Run ARTIFACT on arrays from a file, or check it against its golden pair."""
    if not check and inputs is None:
        raise UsageError("nothing to run on: give --inputs FILE.npz, or --check for the golden inputs")
    if outputs is not None and inputs is None:
        raise UsageError(f"--outputs writes what comes of --inputs: give --inputs FILE.npz too, not only {outputs}")
    from tvmopt.pipeline.artifact.loaded import load_artifact
    from tvmopt.pipeline.compiler.build import threads_environment

    if threads is not None:
        threads_environment(threads)
    loaded = load_artifact(artifact)
    if check:
        click.echo(check_golden(loaded))
    if inputs is None:
        if repeat > 1:
            loaded.set_inputs(loaded.golden_inputs)
            click.echo(latency(loaded, repeat))
        return
    loaded.set_inputs(read_arrays(inputs))
    click.echo(latency(loaded, repeat))
    results = loaded.outputs()
    for name, array in results.items():
        click.echo(f"{name}: {array.dtype} {tuple(array.shape)}")
    if outputs is not None:
        write_arrays(outputs, results)
        click.echo(f"wrote {outputs}")


def check_golden(loaded: LoadedArtifact) -> str:
    """Runs the golden inputs.

    Raises:
        WrongResultError: when an output differs from the golden one by more than `tolerances.GOLDEN` of its magnitude.
    """
    from tvmopt.pipeline.support.numeric_error import numeric_error
    from tvmopt.pipeline.support.tolerances import GOLDEN

    results = loaded.run(loaded.golden_inputs)
    found, widest = 0.0, 0.0
    for name, expected in loaded.golden_outputs.items():
        error, allowed = numeric_error(expected, results[name]).relative, GOLDEN.of(expected.dtype)
        if not error <= allowed:
            raise WrongResultError(
                f"output {name!r} differs from its golden value by {error:.3g}, allowed {allowed:g}: "
                "compile again, and report it if it stays so"
            )
        found, widest = max(found, error), max(widest, allowed)
    return f"golden outputs match: relative error {found:.2g}, allowed {widest:g}"


def latency(loaded: LoadedArtifact, repeat: int) -> str:
    """Runs `repeat` times on the inputs that were set; one line with the median."""
    import statistics

    loaded.run_only()
    samples = []
    for _ in range(repeat):
        began = time.perf_counter()
        loaded.run_only()
        samples.append(time.perf_counter() - began)
    return f"latency: median {statistics.median(samples) * 1e3:.3f} ms of {repeat} run{'s' if repeat > 1 else ''}"


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name.

    Raises:
        InputFileError: when the file is missing or no .npz.
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


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes an .npz file, whole or not at all."""
    from tvmopt.pipeline.support.files import replaced
    from tvmopt.pipeline.support.npz import write_npz

    with replaced(path) as file:
        write_npz(file, arrays)
