"""``tvmopt profile``: where the time goes, layer by layer, here and in other runtimes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvmopt.cli.options import Names, OutputFile, input_shape_option, logs_option
from tvmopt.cli.progress_line import ProgressLine
from tvmopt.pipeline.errors import UsageError
from tvmopt.pipeline.importers.registry import listed_forms

if TYPE_CHECKING:
    from tvmopt.benchmarks.profiling.profile_model import ProfileOptions

_ARTIFACT = ".tar"


@click.command()
@click.argument("model", metavar="MODEL|ARTIFACT", help=f"The model: {listed_forms()}; or an artifact (.tar).")
@click.option(
    "--runtimes",
    type=Names(),
    default=None,
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
    help="How long each runtime is profiled, about.",
)
@input_shape_option
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="Only the N layers that take longest.")
@click.option("--json", "json_file", type=OutputFile(".json"), help="Write the profiles.")
def command(
    model: str,
    runtimes: tuple[str, ...] | None,
    threads: int | None,
    logs: Path,
    seconds: float,
    input_shape: Mapping[str, tuple[int, ...]],
    top: int | None,
    json_file: Path | None,
) -> None:
    """Show where the time of MODEL goes, layer by layer: in tvmopt's kernels and in other runtimes.

    Each runtime runs in a process of its own, under its own profiler, in turn with runs without it. A fused kernel
    names the layers it covers. ARTIFACT is a .tar that `tvmopt compile` wrote: it is profiled alone, as it is.
    """
    from rich.console import Console

    options = make_options(model, runtimes, threads or 0, logs, input_shape, seconds)
    with ProgressLine(Console(stderr=True)) as progress:
        document = _profile(options, runtimes, progress)
    if json_file is not None:
        from tvmopt.benchmarks.measurements.files import write_document

        write_document(document, json_file)
    _print(document, top)
    if json_file is not None:
        click.echo(f"wrote {json_file}")


def make_options(
    model: str,
    runtimes: tuple[str, ...] | None,
    threads: int,
    logs: Path,
    input_shapes: Mapping[str, tuple[int, ...]],
    seconds: float,
) -> ProfileOptions:
    """The command's options as `benchmarks.profiling.profile_model.profile_model` takes them."""
    from tvmopt.benchmarks.profiling.profile_model import RUNTIMES, ProfileOptions
    from tvmopt.pipeline.support.shipped import shipped

    folders = tuple(dict.fromkeys(folder.resolve() for folder in (logs, shipped("tuning_logs"))))
    return ProfileOptions(model, runtimes or RUNTIMES, threads, input_shapes, folders, seconds)


def _profile(options: ProfileOptions, named: tuple[str, ...] | None, progress: ProgressLine) -> dict[str, Any]:
    from tvmopt.benchmarks.profiling.profile_artifact import profile_artifact
    from tvmopt.benchmarks.profiling.profile_model import profile_model
    from tvmopt.benchmarks.runtimes.registry import select_runtimes

    if not options.model.endswith(_ARTIFACT):
        return profile_model(options, progress)
    others = [runtime.name for runtime in select_runtimes(named or ()) if runtime.name != "tvmopt"] if named else []
    if others:
        raise UsageError(f"an artifact runs in tvmopt alone; profile its model to see {', '.join(others)} too")
    if options.input_shapes:
        raise UsageError(f"an artifact's shapes are fixed; --input-shape is for a model, not {options.model}")
    return profile_artifact(options, progress)


def _print(document: Mapping[str, Any], top: int | None) -> None:
    from rich.console import Console

    from tvmopt.benchmarks.measurements.layer_table import LayerTable
    from tvmopt.cli.consoles import make_console
    from tvmopt.cli.profile_view import LINE_WIDTH, parts

    console = make_console()
    if not console.is_terminal:
        console = Console(width=LINE_WIDTH, markup=False, emoji=False, highlight=False)
    for part in parts(LayerTable.from_json(document), document, top):
        console.print(part)
