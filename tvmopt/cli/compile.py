"""``tvmopt compile``: builds an artifact from a model and its records."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvmopt.cli.options import (
    OutputFile,
    WithSizes,
    logs_option,
    model_argument,
    precision_option,
    several_sizes,
    strict_nan_option,
    target_option,
    threads_option,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tvmopt.cli.tables import Table
    from tvmopt.jobs.compiling import CompileResult
    from tvmopt.pipeline.compiler.compile import CompileReport


LISTED = 8
"""How many layers without a template are named."""


@click.command(cls=WithSizes)
@model_argument
@click.option("-o", "--output", type=OutputFile(".tar"), required=True, help="The artifact to write.")
@target_option
@logs_option
@threads_option
@strict_nan_option
@precision_option
@several_sizes
@click.option(
    "--transfer/--no-transfer",
    default=True,
    show_default=True,
    help="Let records of related kernels choose configs for kernels without records.",
)
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="First dimension of every input.")
def command(model: str, output: Path, **settings: Any) -> None:
    """Build MODEL into an artifact that runs on the target.

    Each kernel uses the best record that matches it exactly. Without one, it uses a config suggested by records of
    related kernels if that is clearly faster, and its default schedule otherwise. The table shows the origin of each
    config. The artifact contains golden inputs and outputs for `tvmopt run --check`, and needs TVM's runtime only for
    GPUs and for models that sort.
    """
    # Before numpy is loaded: predicting configs inverts small matrices, for which its threads only wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from tvmopt.cli.consoles import make_console
    from tvmopt.cli.progress_line import StatusLine
    from tvmopt.cli.run import with_inputs
    from tvmopt.jobs.compiling import CompileJob, compile

    job = CompileJob(model, output, **with_inputs(settings))
    console = make_console()
    with StatusLine(console) as status:
        result = compile(job, status)
    for part in parts(result):
        console.print(part)
    size = output.stat().st_size
    console.print(f"{output} ({size / 2**20:.1f} MiB) for {result.target.key}")


def parts(result: CompileResult) -> Iterator[RenderableType]:
    """The artifact's contents: a table of its kernels, and the origins of their configs."""
    from tvmopt.schedules.registry import has_templates

    report = result.report
    if not has_templates(result.target):
        yield f"{len(report.imported_layers)} layers scheduled by TVM's GPU rules"
        return
    yield table(report)
    counts = Counter(choice.origin for choice in report.choices)
    moved = f"{counts['transfer']} by transfer from related records, " if counts["transfer"] else ""
    yield f"{counts['record']} of {len(report.choices)} kernels from records, {moved}the rest with their defaults"
    if report.imported_layers:
        rest = len(report.imported_layers) - LISTED
        more = f" and {rest} more, which `tvmopt inspect` lists" if rest > 0 else ""
        listed = ", ".join(report.imported_layers[:LISTED])
        yield f"without a template, scheduled by the last rule: {listed}{more}"


def table(report: CompileReport) -> Table:
    """One row per kernel: layer, number of runs, origin (record, transfer or default), algorithm and config."""
    from tvmopt.cli.consoles import first_of
    from tvmopt.cli.tables import Column, Table

    rows = Table(
        Column("kernel"),
        Column("layer", least=16),
        Column("runs", number=True),
        Column("from"),
        Column("latency", number=True),
        Column("algorithm", rank=1),
        Column("config", below=True),
    )
    for choice in report.choices:
        latency = "" if choice.latency_s is None else f"{choice.latency_s * 1e6:.0f} µs"
        config = " ".join(f"{knob} {value}" for knob, value in choice.knobs.items())
        task = choice.task
        rows.add(task.name, first_of(task.layers), str(task.weight), choice.origin, latency, choice.algorithm, config)
    return rows
